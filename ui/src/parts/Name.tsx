/** A name such as `train/42` or `fit/3`: where there is no room for all of it, its number stays. */
export function Name({ text }: { text: string }) {
  if (text.length <= 18) return text;
  const first = text.indexOf("/") + 1;
  const place = first > 0 && text.length - first <= 20 ? first : text.lastIndexOf("/") + 1;
  if (place === 0) return text;
  return (
    <span className="name">
      <span>{text.slice(0, place - 1)}</span>
      <span>{text.slice(place - 1)}</span>
    </span>
  );
}

/** Pixels for a column of names; in steps, so that columns stay where they are while rows come in. */
export function widthOf(longest: number, least: number, most: number): string {
  const wanted = Math.ceil((longest * 7.2 + 36) / 40) * 40;
  return `minmax(${Math.min(110, least)}px, ${Math.min(most, Math.max(least, wanted))}px)`;
}
