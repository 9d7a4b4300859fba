/** What can be done to a run. What can be undone is done at once, and undone from the line at the bottom. */
import { useQueryClient } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { useLocation } from "wouter";
import { address, ApiError, RUN, send } from "../../api/client";
import { useMay } from "../../parts/Account";
import { CopyButton, Dialog } from "../../parts/Bits";
import { Menu, MenuAction, MenuLabel } from "../../parts/Menu";
import { useToast } from "../../parts/Toast";
import { ResumeButton, RetryDialog, StartDialog } from "./Drivers";
import { useRun } from "./useRun";

export function Actions({ icon }: { icon: ReactNode }) {
  const { at, name, view, live } = useRun();
  const queries = useQueryClient();
  const toast = useToast();
  const [, navigate] = useLocation();
  const [tagging, setTagging] = useState(false);
  const [dialog, setDialog] = useState<"" | "start" | "retry">("");
  const may = useMay(at.project);
  const act = async (path: string, body?: unknown, query: Record<string, unknown> = {}, method = "POST"): Promise<boolean> => {
    try {
      await send(method, address(`${RUN}${path}`, { ...at, ...query }), body);
      await queries.invalidateQueries();
      return true;
    } catch (error) {
      toast({ text: error instanceof ApiError ? error.detail || error.title : String(error), bad: true });
      return false;
    }
  };
  const copy = (text: string) => void navigator.clipboard?.writeText(text).then(() => toast({ text: `Copied: ${text}` }));
  const remove = async () => {
    if (!(await act("/delete"))) return;
    navigate(`/p/${encodeURIComponent(at.project)}/runs`);
    toast({ text: `${name} is deleted`, undo: () => void act("/restore") });
  };
  const archive = async () => {
    if (await act("/archive", undefined, { on: true })) toast({ text: `${name} is archived`, undo: () => void act("/archive", undefined, { on: false }) });
  };
  const cancel = async () => {
    if (await act("/cancel")) toast({ text: `${name} was asked to stop` });
  };
  const stopped = ["failed", "crashed", "interrupted", "cancelled"].includes(view.run.state);
  const commands = live ? [`headrace logs ${name} --follow`, `headrace show ${name}`] : [`headrace resume ${name}`, `headrace show ${name}`, `headrace reproduce ${name}`];
  return (
    <span className="actions">
      {live && may.change && (
        <button type="button" className="button danger" onClick={() => void cancel()}>
          Cancel
        </button>
      )}
      {stopped && may.change && <ResumeButton />}
      {stopped && !may.change && (
        <CopyButton text={`headrace resume ${name}`} what="the command that resumes the run">
          headrace resume
        </CopyButton>
      )}
      <Menu label="More" button={icon} end plain>
        {may.change && (
          <>
            <MenuAction onSelect={() => setDialog("start")}>New run with other parameters…</MenuAction>
            {!live && <MenuAction onSelect={() => setDialog("retry")}>Run steps again…</MenuAction>}
            <MenuAction onSelect={() => setTagging(true)}>Tag…</MenuAction>
            <MenuAction onSelect={() => void act("/pin", undefined, { on: true }).then((done) => done && toast({ text: `${name} is kept from being removed`, undo: () => void act("/pin", undefined, { on: false }) }))}>Pin</MenuAction>
            <MenuAction onSelect={() => void archive()}>Archive</MenuAction>
            {!live && (
              <MenuAction onSelect={() => void remove()} danger>
                Delete
              </MenuAction>
            )}
          </>
        )}
        <MenuLabel>Copy a command</MenuLabel>
        {commands.map((one) => (
          <MenuAction key={one} onSelect={() => copy(one)}>
            <code>{one}</code>
          </MenuAction>
        ))}
      </Menu>
      <StartDialog open={dialog === "start"} onClose={() => setDialog("")} />
      <RetryDialog open={dialog === "retry"} onClose={() => setDialog("")} />
      <Dialog title={`Tag ${name}`} open={tagging} onClose={() => setTagging(false)}>
        <form
          className="form"
          onSubmit={(event) => {
            event.preventDefault();
            const data = new FormData(event.currentTarget);
            const [tag = "", ...value] = String(data.get("tag") ?? "").trim().split("=");
            if (tag) void act("/tags/{name}", { value: value.join("=") }, { name: tag }, "PUT").then((done) => done && setTagging(false));
          }}
        >
          <label>
            Name, or name=value
            <input className="field" name="tag" required maxLength={200} autoFocus />
          </label>
          {Object.keys(view.run.tags).length > 0 && (
            <p className="sources">
              {Object.keys(view.run.tags).map((tag) => (
                <button key={tag} type="button" className="button" onClick={() => void act("/tags/{name}", undefined, { name: tag }, "DELETE")} aria-label={`Remove tag ${tag}`}>
                  {tag} ×
                </button>
              ))}
            </p>
          )}
          <button type="submit" className="button main">
            Tag
          </button>
        </form>
      </Dialog>
    </span>
  );
}
