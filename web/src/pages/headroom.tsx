// Headroom: what more cores would bring. The width of the graph over time, the critical path, and a prediction.
import { useView } from "../api";
import { decimal, duration, integer, percent, range, unbroken } from "../format";
import { Lines } from "../lines";
import { Name } from "../name";
import type { Headroom as HeadroomAnswer } from "../schema";
import { linkTo } from "../url";

export function Headroom() {
  const answer = useView<HeadroomAnswer>("headroom", () => 1000).value;
  if (!answer) return <p class="answer">Waiting for the first answer of the server.</p>;
  return (
    <>
      <section class="panel">
        <h1 class="answer">{unbroken(answer.sentence)}</h1>
        <dl class="numbers">
          <div>
            <dt>all tasks, one after the other (T1)</dt>
            <dd>{duration(answer.t1)}</dd>
          </div>
          <div>
            <dt>critical path (T∞)</dt>
            <dd>{duration(answer.tinf)}</dd>
            {answer.tinf_error && <dd class="quiet">a bound: {answer.tinf_error}</dd>}
          </div>
          <div>
            <dt>parallelism (T1 / T∞)</dt>
            <dd>{decimal(answer.parallelism)}</dd>
          </div>
          <div>
            <dt>threads there are</dt>
            <dd>{integer(answer.cores)}</dd>
            <dd class="quiet">
              {answer.stops_helping_at === null
                ? ""
                : `more than ${integer(answer.stops_helping_at)} stop helping`}
            </dd>
          </div>
        </dl>
      </section>
      <section class="panel">
        <h2>Tasks running and ready, over time</h2>
        <Profile answer={answer} />
      </section>
      <div class="columns even">
        <section class="panel">
          <h2>Predicted time of the whole graph</h2>
          <p class="quiet">The hatched part is not sure.</p>
          <Predicted answer={answer} />
        </section>
        <section class="panel">
          <h2>Critical path, by group</h2>
          <Critical answer={answer} />
        </section>
        <section class="panel">
          <h2>How long tasks are</h2>
          <Granularity answer={answer} />
        </section>
      </div>
    </>
  );
}

function Profile({ answer }: { answer: HeadroomAnswer }) {
  const { t0, step, running, ready } = answer.width;
  return (
    <Lines
      title="tasks"
      t0={t0}
      step={step}
      lines={[
        { name: "running", values: running, look: "area" },
        { name: "ready, waiting for a thread", values: ready, look: "solid" },
      ]}
      limit={answer.cores > 0 ? { value: answer.cores, name: "threads" } : null}
      format={decimal}
      height={200}
    />
  );
}

function Predicted({ answer }: { answer: HeadroomAnswer }) {
  if (answer.predicted.length === 0) return <p class="quiet">No prediction: no task has ended yet.</p>;
  const longest = Math.max(...answer.predicted.map((row) => row.high), 1e-9);
  return (
    <table class="groups">
      <thead>
        <tr>
          <th scope="col">threads</th>
          <th scope="col">compared</th>
          <th scope="col" class="number">
            time
          </th>
        </tr>
      </thead>
      <tbody>
        {answer.predicted.map((row) => (
          <tr key={row.cores} class={row.cores === answer.cores ? "here" : undefined}>
            <th scope="row">
              {integer(row.cores)}
              {row.cores === answer.cores ? " (now)" : ""}
            </th>
            <td>
              <span class="span-bar">
                <span class="sure" style={{ width: `${(row.low / longest) * 100}%` }} />
                <span class="unsure" style={{ width: `${((row.high - row.low) / longest) * 100}%` }} />
              </span>
            </td>
            <td class="number">{range(row)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Critical({ answer }: { answer: HeadroomAnswer }) {
  if (answer.critical.length === 0) return <p class="quiet">No critical path is known yet.</p>;
  const whole = answer.critical.reduce((sum, row) => sum + row.seconds, 0);
  return (
    <table class="groups">
      <tbody>
        {answer.critical.map((row) => (
          <tr key={row.group}>
            <th scope="row">
              <a href={linkTo("graph", { expand: row.group })}>
                <Name text={row.name} length={40} />
              </a>
            </th>
            <td>
              <span class="span-bar">
                <span class="sure" style={{ width: `${(row.seconds / Math.max(whole, 1e-9)) * 100}%` }} />
              </span>
            </td>
            <td class="number">{duration(row.seconds)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Granularity({ answer }: { answer: HeadroomAnswer }) {
  const { edges, tasks } = answer.granularity;
  const total = tasks.reduce((sum, count) => sum + count, 0);
  if (total === 0) return <p class="quiet">No task has ended yet.</p>;
  const short = tasks.slice(0, edges.indexOf(0.001) + 1).reduce((sum, count) => sum + count, 0);
  const most = Math.max(...tasks);
  return (
    <>
      <p>
        <b>{percent(short / total)}</b> of tasks take less than 1 ms.
      </p>
      <table class="groups histogram">
        <tbody>
          {tasks.map((count, i) => (
            <tr key={edges[i] ?? "last"}>
              <th scope="row">{bucket(edges, i)}</th>
              <td>
                <span class="span-bar">
                  <span class="sure" style={{ width: `${(count / most) * 100}%` }} />
                </span>
              </td>
              <td class="number">{integer(count)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function bucket(edges: number[], index: number): string {
  const [low, high] = [edges[index - 1], edges[index]];
  if (low === undefined) return `below ${duration(high)}`;
  return high === undefined ? `${duration(low)} and more` : `${duration(low)} – ${duration(high)}`;
}
