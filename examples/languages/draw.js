// Draw bars of the errors on standard input (JSON) into errors.svg.
const fs = require("fs");

const errors = JSON.parse(fs.readFileSync(0, "utf8")).sort((one, other) => other.error - one.error);
const most = Math.max(...errors.map((one) => one.error));
const bars = errors.map((one, at) => {
  const y = 40 + at * 24;
  const width = (one.error / most) * 400;
  return (
    `<text x="10" y="${y + 14}">${one.carrier}</text><rect x="50" y="${y}" width="${width}" height="18" fill="#4878a8"/>` +
    `<text x="${58 + width}" y="${y + 14}">${one.error.toFixed(1)} (${one.flights} flights)</text>`
  );
});
const height = 60 + errors.length * 24;
fs.writeFileSync(
  "errors.svg",
  `<svg xmlns="http://www.w3.org/2000/svg" width="640" height="${height}" font-family="sans-serif" font-size="13">` +
    `<text x="10" y="22" font-size="15">${process.argv[2].replaceAll("<", "&lt;")}</text>${bars.join("")}</svg>\n`,
);
fs.appendFileSync(process.env.HEADRACE_TRACK, JSON.stringify({ metric: "bars", value: errors.length }) + "\n");
