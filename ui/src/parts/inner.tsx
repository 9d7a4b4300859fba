/** Artifacts that a dialect keeps for itself, such as the transitions of a Metaflow flow: left out unless they are asked for. */

export function isInner(one: { name: string }): boolean {
  return one.name.startsWith("_");
}

export function InnerButton({ shown, show }: { shown: boolean; show: (on: boolean) => void }) {
  return (
    <button type="button" className="button" aria-pressed={shown} onClick={() => show(!shown)} title="Names that begin with an underscore">
      Internal ones
    </button>
  );
}
