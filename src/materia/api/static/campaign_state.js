// What is known of one campaign: read once, then changed by events.

const FINAL = new Set(["completed", "converged", "stopped", "failed"]);
const KEPT_EVENTS = 400;

export const isFinal = (state) => FINAL.has(state);

/** The names of a campaign's parameters with their units; parts of a composition stand alone. */
export function parametersOf(definition) {
  return definition.parameters.flatMap((parameter) =>
    parameter.type === "composition"
      ? parameter.parts.map(({ name }, _, parts) => ({ name, unit: parameter.unit, type: "part", parts }))
      : [parameter]);
}

/** A value of an objective as something to make small. */
export function costOf({ direction, target }, value) {
  if (typeof target === "number") return Math.abs(value - target);
  return direction === "maximize" ? -value : value;
}

export class CampaignState {
  constructor(campaign, candidates, trace, events) {
    this.campaign = campaign;
    this.candidates = new Map(candidates.map((candidate) => [candidate.id, candidate]));
    this.trace = trace;
    this.events = events.filter(({ id }) => id <= campaign.last_event);
    this.objectives = campaign.definition.objectives;
    this.parameters = parametersOf(campaign.definition);
  }

  get list() {
    return [...this.candidates.values()];
  }

  /** Whether outcomes are constrained, so that a measured candidate may not count. */
  get isConstrained() {
    return this.campaign.definition.outcome_constraints.length > 0;
  }

  /** The best candidate; of one objective that of this moment, otherwise that of the last iteration. */
  get best() {
    const [objective, ...others] = this.objectives;
    if (others.length) return this.campaign.best;
    const told = this.list.filter(({ outcomes, breaks }) => typeof outcomes?.[objective.name] === "number" && !breaks?.length);
    const cost = ({ outcomes }) => costOf(objective, outcomes[objective.name]);
    return told.reduce((best, one) => (best && cost(best) <= cost(one) ? best : one), null);
  }

  /** Candidates with a result: counted here, for the campaign's own counters come with iterations. */
  get n_evaluated() {
    return this.list.filter(({ state }) => state === "told" || state === "failed").length;
  }

  get n_failed() {
    return this.list.filter(({ state }) => state === "failed").length;
  }

  /** Points on the front; all replicates of one are marked. */
  get n_front() {
    const { replicates = 1 } = this.campaign.definition.optimizer;
    const marked = this.list.filter(({ is_pareto }) => is_pareto);
    return new Set(marked.map(({ number }) => Math.floor(number / replicates))).size;
  }

  /** Take an event in; "reload" when it tells less than has changed. Taking one twice is harmless. */
  apply(event) {
    this.events.push(event);
    if (this.events.length > KEPT_EVENTS) this.events.shift();
    return this[event.type]?.(event.data, event);
  }

  campaign_state_changed(changed, { time }) {
    Object.assign(this.campaign, changed);
    if (!isFinal(changed.state)) this.campaign.finished_at = null;
    if (changed.state === "running") this.campaign.started_at ??= time;
    // Candidates of a stopped campaign that nobody evaluates any more have no event of their own.
    return isFinal(changed.state) ? "reload" : undefined;
  }

  iteration_started({ iteration }) {
    this.campaign.iteration = iteration;
  }

  candidates_proposed({ iteration, candidates }) {
    for (const { id, params, predicted, why } of candidates) {
      if (this.candidates.has(id)) continue;
      const number = this.candidates.size;
      this.candidates.set(id, { id, number, iteration, params, predicted, why, state: "proposed", outcomes: null, breaks: [], is_pareto: false });
    }
  }

  evaluation_completed({ candidate_id, state, outcomes, breaks = [] }) {
    const candidate = this.candidates.get(candidate_id);
    if (!candidate) return "reload";
    Object.assign(candidate, { state, outcomes, breaks });
    return undefined;
  }

  pareto_updated({ hypervolume, pareto_size, best, front }) {
    Object.assign(this.campaign, { hypervolume, pareto_size, best });
    const ids = new Set(front.flatMap(({ id, replicates }) => replicates ?? [id]));
    for (const candidate of this.candidates.values()) candidate.is_pareto = ids.has(candidate.id);
  }

  iteration_completed(data, { time }) {
    const { iteration, evaluations_completed, hypervolume, pareto_size, best } = data;
    Object.assign(this.campaign, { evaluations_completed, evaluations_failed: data.evaluations_failed, hypervolume, pareto_size, best });
    if (!this.trace.some((entry) => entry.iteration === iteration)) {
      this.trace.push({ iteration, n_observations: evaluations_completed, hypervolume, pareto_size, finished_at: time });
    }
    // A front may grow beyond the reference point, which changes no hypervolume and sends no front.
    return pareto_size === this.n_front ? undefined : "reload";
  }
}

const counted = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

function front({ best, pareto_size, hypervolume }, number) {
  const [[name, value], ...others] = Object.entries(best?.outcomes ?? { none: null });
  if (best && !others.length) return `Best so far is ${best.id}: ${name} ${number(value)}`;
  const reached = hypervolume === null ? "" : `, hypervolume ${number(hypervolume)}`;
  return `Pareto front has ${counted(pareto_size, "candidate")}${reached}`;
}

/** What an event says, in words. */
export function describe({ type, data }, number) {
  const quality = Object.entries(data.quality ?? {}).map(([name, { r2 }]) => `${name} R² ${number(r2, 3)}`);
  const outcomes = Object.entries(data.outcomes ?? {}).map(([name, value]) => `${name} ${number(value)}`);
  const sentences = {
    campaign_state_changed: () => `Campaign is ${data.state}` + (data.error ? `: ${data.error.message}` : ""),
    iteration_started: () => `Iteration ${data.iteration} started`,
    surrogate_trained: () => data.fallback
      ? `Surrogate could not be fitted, a quasi-random design takes its place: ${data.fallback}`
      : `Surrogate trained: ${quality.join(", ")}`,
    candidates_proposed: () => `${counted(data.candidates.length, "candidate")} proposed`,
    evaluation_completed: () => data.state === "failed"
      ? `${data.candidate_id} failed: ${data.error?.message ?? "no reason given"}`
      : `${data.candidate_id}: ${outcomes.join(", ")}${data.breaks?.length ? ` – breaks ${data.breaks.join(", ")}` : ""}`,
    pareto_updated: () => front(data, number),
    iteration_completed: () => `Iteration ${data.iteration} completed`,
  };
  return (sentences[type] ?? (() => type.replaceAll("_", " ")))();
}
