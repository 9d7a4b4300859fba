/** What a run asks, with buttons to answer. */
import { Answer } from "../../parts/Answer";
import { useRun } from "./useRun";

export function Questions() {
  const { at, view } = useRun();
  if (view.questions.length === 0) return null;
  return (
    <ul className="questions">
      {view.questions.map((one) => (
        <li key={one.name}>
          <Answer at={at} question={one} />
        </li>
      ))}
    </ul>
  );
}
