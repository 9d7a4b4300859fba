/** Cards of tasks: pages that others wrote, in a frame that may do nothing but be looked at. */
import { Link } from "wouter";
import { address, RUN, useGet } from "../../api/client";
import { taskPage, useParam } from "../../lib/url";
import { Empty, Shown, Time } from "../../parts/Bits";
import { useRun } from "./useRun";

export default function Cards() {
  const { at, name } = useRun();
  const [chosen, setChosen] = useParam("card");
  const query = useGet(`${RUN}/cards` as const, { ...at });
  return (
    <Shown query={query}>
      {(found) => {
        const card = found.items.find((one) => one.id === chosen) ?? found.items[0];
        if (!card) return <Empty title="No cards">A step of a Metaflow flow makes one with @card.</Empty>;
        const parts = card.task.slice(name.length + 1).split("/");
        return (
          <div className="cards">
            <nav className="code-files" aria-label="Cards">
              <ul>
                {found.items.map((one) => (
                  <li key={one.id}>
                    <button type="button" className={one.id === card.id ? "file chosen" : "file"} aria-current={one.id === card.id || undefined} onClick={() => setChosen(one.id)}>
                      <span className="cut">
                        {one.task.slice(name.length + 1)} · {one.title}
                      </span>
                    </button>
                  </li>
                ))}
              </ul>
            </nav>
            <section className="card-frame" aria-label={card.title}>
              <p className="quiet">
                {card.title} of <Link href={taskPage(at.project, name, parts.slice(0, -1).join("/"), parts.at(-1) ?? "")}>{parts.join("/")}</Link>, made <Time at={card.created} />
              </p>
              <iframe title={`Card ${card.title}`} sandbox="" referrerPolicy="no-referrer" src={address(`${RUN}/cards/{id}/html`, { ...at, id: card.id })} />
            </section>
          </div>
        );
      }}
    </Shown>
  );
}
