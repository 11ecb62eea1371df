// Runs before anything is drawn: a page that was switched to dark must not flash in light.
(() => {
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be refused; the system's choice holds then.
  }
})();
