/** Going on with a run, running steps again, a new run with other parameters: the server orders a driver for each. */
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useState } from "react";
import { useLocation } from "wouter";
import { address, ApiError, get, RUN, send, useGet, type Schemas } from "../../api/client";
import { plain } from "../../lib/format";
import { runPage } from "../../lib/url";
import { valueOf } from "../../parts/Answer";
import { Dialog, Shown } from "../../parts/Bits";
import { useToast } from "../../parts/Toast";
import { useRun, type RunView } from "./useRun";

type Order = Schemas["DriverOrder"];

const pause = (seconds: number): Promise<void> => new Promise((done) => window.setTimeout(done, seconds * 1000));

/** Order a driver, and follow it until its run is there or it has failed. */
export function useOrder(): (url: string, body: unknown, said: string) => Promise<boolean> {
  const { at, name } = useRun();
  const queries = useQueryClient();
  const toast = useToast();
  const [, navigate] = useLocation();
  const { project } = at;
  return useCallback(
    async (url, body, said) => {
      try {
        let order = await send<Order>("POST", url, body);
        toast({ text: `${said}: a driver is started` });
        // A new run has its name when it has begun. One that goes on is looked at until its driver shows in it.
        const begun = () => order.state === "ended" || (order.action === "start" && Boolean(order.run));
        for (let tries = 0; tries < 120 && !begun(); tries += 1) {
          await pause(tries < 20 ? 0.5 : 2);
          order = await get("/api/v1/projects/{project}/drivers/{order}", { project, order: order.id });
          if (order.action !== "start") {
            await queries.invalidateQueries({ queryKey: [RUN] });
            const seen = queries.getQueryData<RunView>([RUN, { ...at }]);
            if (seen?.run.state === "running") break;
          }
        }
        if (order.exit_code && !order.run) {
          toast({ text: order.output.trim().split("\n").slice(-4).join("\n") || `the driver ended with exit code ${order.exit_code}`, bad: true });
          return false;
        }
        if (order.run && order.run !== name) navigate(runPage(project, order.run));
        await queries.invalidateQueries();
        return true;
      } catch (error) {
        toast({ text: error instanceof ApiError ? error.detail || error.title : String(error), bad: true });
        return false;
      }
    },
    [at, project, name, queries, toast, navigate],
  );
}

export function ResumeButton() {
  const { at, name } = useRun();
  const order = useOrder();
  const [busy, setBusy] = useState(false);
  return (
    <button
      type="button"
      className="button main"
      disabled={busy}
      onClick={() => {
        setBusy(true);
        void order(address(`${RUN}/resume`, { ...at }), {}, name).finally(() => setBusy(false));
      }}
    >
      Resume
    </button>
  );
}

export function RetryDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  const { at, name, view } = useRun();
  const order = useOrder();
  return (
    <Dialog title={`Run steps of ${name} again`} open={open} onClose={onClose}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          const steps = new FormData(event.currentTarget).getAll("step").map(String);
          if (steps.length === 0) return;
          onClose();
          void order(address(`${RUN}/retry`, { ...at }), { steps }, name);
        }}
      >
        <p className="quiet">Their tasks run again, and all that depend on them. Other results are kept.</p>
        {view.steps.map((step) => (
          <span key={step.step}>
            <label className="check-label">
              <input type="checkbox" name="step" value={step.step} defaultChecked={(step.counts["failed"] ?? 0) > 0} /> {step.step}
            </label>
          </span>
        ))}
        <button type="submit" className="button main">
          Run again
        </button>
      </form>
    </Dialog>
  );
}

export function StartDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  const { at, name } = useRun();
  const order = useOrder();
  const params = useGet(`${RUN}/params` as const, { ...at }, { enabled: open });
  return (
    <Dialog title={`A new run of ${at.flow}`} open={open} onClose={onClose}>
      <Shown query={params} rows={3}>
        {(found) => {
          const own = found.items.filter((one) => !one.logged);
          return (
            <form
              className="form"
              onSubmit={(event) => {
                event.preventDefault();
                const data = new FormData(event.currentTarget);
                const changed = own.filter((one) => String(data.get(one.name)) !== plain(one.value));
                const parameters = Object.fromEntries(changed.map((one) => [one.name, typeof one.value === "string" ? String(data.get(one.name)) : valueOf(String(data.get(one.name)))]));
                onClose();
                void order(address("/api/v1/projects/{project}/flows/{flow}/start", { project: at.project, flow: at.flow }), { run: at.number, parameters }, at.flow);
              }}
            >
              <p className="quiet">With the code of {name}.</p>
              {own.map((one) => (
                <label key={one.name}>
                  {one.name}
                  <input className="field mono" name={one.name} defaultValue={plain(one.value)} />
                </label>
              ))}
              <button type="submit" className="button main">
                Start
              </button>
            </form>
          );
        }}
      </Shown>
    </Dialog>
  );
}
