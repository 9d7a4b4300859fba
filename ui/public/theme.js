// Before the first paint: the theme that the reader chose, else that of the system.
try {
  const theme = localStorage.getItem("headrace.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; then the system decides.
}
