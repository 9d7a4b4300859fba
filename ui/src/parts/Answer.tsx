/** A question of a run, with what can be answered. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { address, ApiError, RUN, send } from "../api/client";
import { useMay } from "./Account";
import { CopyButton, Time } from "./Bits";
import { useToast } from "./Toast";

export interface Question {
  name: string;
  prompt: string;
  created: number;
  until: number | null;
}

interface Props {
  at: { project: string; flow: string; number: number };
  question: Question;
}

/** What was typed as the flow gets it: JSON where it is JSON, else a text. */
export function valueOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function Answer({ at, question }: Props) {
  const queries = useQueryClient();
  const toast = useToast();
  const may = useMay(at.project);
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const run = `${at.flow}/${at.number}`;
  const answer = async (value: unknown) => {
    setBusy(true);
    try {
      await send("POST", address(`${RUN}/waits/{name}/answer`, { ...at, name: question.name }), { value });
      toast({ text: `${run} was told ${JSON.stringify(value)}` });
      await queries.invalidateQueries();
    } catch (error) {
      toast({ text: error instanceof ApiError ? error.detail || error.title : String(error), bad: true });
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="question">
      <p>
        Waits for an answer to <b>{question.name}</b>
        {question.prompt && <>: {question.prompt}</>}
      </p>
      <p className="quiet">
        asked <Time at={question.created} />
        {question.until !== null && question.until !== undefined && (
          <>
            , until <Time at={question.until} />
          </>
        )}
      </p>
      {may.change ? (
        <form
          className="answer"
          onSubmit={(event) => {
            event.preventDefault();
            if (typed.trim()) void answer(valueOf(typed.trim()));
          }}
        >
          <button type="button" className="button main" disabled={busy} onClick={() => void answer(true)}>
            Approve
          </button>
          <button type="button" className="button" disabled={busy} onClick={() => void answer(false)}>
            Reject
          </button>
          <input className="field" aria-label={`Another answer to ${question.name}`} placeholder="another answer: 3, or text" value={typed} onChange={(event) => setTyped(event.target.value)} />
          <button type="submit" className="button" disabled={busy || !typed.trim()}>
            Answer
          </button>
          <CopyButton text={`headrace answer ${run} ${question.name} true`} what="the command that answers" />
        </form>
      ) : (
        <p className="quiet">An editor of the project may answer.</p>
      )}
    </div>
  );
}
