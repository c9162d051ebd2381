// Runs before the page is painted, so that a chosen theme does not flash: a classic script.
{
  const chosen = localStorage.getItem("materia.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
