/** What a run asks, with a field to answer. */
import { Time, CopyButton } from "../../parts/Bits";
import { useRun } from "./useRun";

export function Questions() {
  const { name, view } = useRun();
  if (view.questions.length === 0) return null;
  return (
    <ul className="questions">
      {view.questions.map((one) => (
        <li key={one.name}>
          <p>
            Waits for an answer to <b>{one.name}</b>
            {one.prompt && <>: {one.prompt}</>}
          </p>
          <p className="quiet">
            asked <Time at={one.created} />
            {one.until !== null && one.until !== undefined && (
              <>
                , until <Time at={one.until} />
              </>
            )}
            <CopyButton text={`headrace answer ${name} ${one.name} true`} what="the command that answers" />
          </p>
        </li>
      ))}
    </ul>
  );
}
