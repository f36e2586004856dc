// Overview: what limits the run and how long it will take, then the pictures that show why.
import { overview, useView } from "../api";
import { GroupProgress, MemoryBar, TimeBar } from "../bars";
import { bytes, duration, integer, percent, range, unbroken } from "../format";
import { MarkList } from "../marks";
import { Name } from "../name";
import type { Overview as OverviewAnswer, Workers } from "../schema";
import { Stream } from "../stream";
import { linkTo } from "../url";

const MEMORY_ROWS = 12;
const STREAM_HEIGHT = 200;

export function Overview() {
  const run = overview.value;
  if (!run) return <p class="answer">Waiting for the first answer of the server.</p>;
  return (
    <>
      <Answer run={run} />
      <div class="columns">
        <section class="panel">
          <h2>Progress</h2>
          <Groups run={run} />
        </section>
        <section class="panel">
          <h2>
            Task stream <a href={linkTo("stream")}>larger</a>
          </h2>
          <Stream height={STREAM_HEIGHT} />
        </section>
        <section class="panel">
          <h2>Memory per worker</h2>
          <Memory />
        </section>
        <section class="panel">
          <h2>
            Events <a href={linkTo("errors")}>all</a>
          </h2>
          {run.marks.length > 0 ? (
            <MarkList marks={[...run.marks].sort((a, b) => b.t - a.t)} />
          ) : (
            <p class="quiet">Nothing has happened yet.</p>
          )}
        </section>
      </div>
    </>
  );
}

function Answer({ run }: { run: OverviewAnswer }) {
  const { verdict } = run;
  const extra = verdict.evidence.filter((e) => e.value === null || e.value !== verdict.share).slice(0, 3);
  return (
    <section class="panel first">
      <div class="verdict">
        <h1 class="answer">{unbroken(verdict.sentence)}</h1>
        <div class="advice">
          {verdict.advice.length > 0 ? (
            verdict.advice.slice(0, 3).map((advice) => <p key={advice}>→ {advice}</p>)
          ) : (
            <p class="quiet">
              {verdict.verdict === "compute-bound"
                ? "Nothing needs to be changed."
                : "There is no advice for this."}
            </p>
          )}
          {verdict.confidence !== "high" && <p class="quiet">confidence: {verdict.confidence}</p>}
        </div>
      </div>
      {extra.length > 0 && (
        <p class="evidence">
          {extra.map((e) => (
            <span key={e.text}>{e.link?.startsWith("./") ? <a href={e.link}>{e.text}</a> : e.text}</span>
          ))}
        </p>
      )}
      <h2>Where thread time went</h2>
      <TimeBar bins={verdict.thread_seconds > 0 ? verdict.bins : {}} />
      <Numbers run={run} />
      {run.dropped > 0 && (
        <p class="quiet">{integer(run.dropped)} records were dropped, so the numbers are less sure.</p>
      )}
    </section>
  );
}

function Numbers({ run }: { run: OverviewAnswer }) {
  const { tasks, memory } = run;
  const ended = tasks.finished + tasks.erred;
  return (
    <dl class="numbers">
      <div>
        <dt>time left</dt>
        <dd>{timeLeft(run)}</dd>
        <dd class="quiet">{duration(run.now)} elapsed</dd>
      </div>
      <div>
        <dt>tasks done</dt>
        <dd>
          {integer(ended)} <small>/ {integer(tasks.total)}</small>
        </dd>
        <dd class="quiet">
          {integer(tasks.processing)} run, {integer(tasks.waiting)} wait
          {tasks.erred > 0 && (
            <>
              {", "}
              <a class="bad" href={linkTo("errors")}>
                ✕ {integer(tasks.erred)} failed
              </a>
            </>
          )}
          {tasks.no_worker > 0 && <span class="bad"> {integer(tasks.no_worker)} without a worker</span>}
        </dd>
      </div>
      <div>
        <dt>threads busy</dt>
        <dd>
          {integer(run.busy)} <small>/ {integer(run.threads)}</small>
        </dd>
        <dd class="quiet">
          {integer(run.workers)} {run.workers === 1 ? "worker" : "workers"}
        </dd>
      </div>
      <div>
        <dt>memory used</dt>
        <dd>
          {bytes(memory.used)} {memory.limit ? <small class="whole">/ {bytes(memory.limit)}</small> : null}
        </dd>
        <dd class="quiet">
          {memory.limit ? `${percent((memory.used ?? 0) / memory.limit)} of the limit` : "no limit"}
          {memory.spilled ? `, ${bytes(memory.spilled)} on disk` : ""}
          {memory.pressure && memory.pressure !== "none" ? `, pressure: ${memory.pressure}` : ""}
        </dd>
      </div>
    </dl>
  );
}

function timeLeft(run: OverviewAnswer): string {
  if (run.remaining) return range(run.remaining);
  if (run.tasks.total === 0) return "nothing to do";
  if (run.tasks.finished + run.tasks.erred >= run.tasks.total) return "done";
  return "not known yet";
}

function Groups({ run }: { run: OverviewAnswer }) {
  if (run.groups.length === 0) return <p class="quiet">No task has been submitted yet.</p>;
  const more = run.groups_total - run.groups.length;
  return (
    <>
      <table class="groups" aria-label="groups: name, progress, tasks done of all, time left">
        <tbody>
          {run.groups.map((group) => (
            <GroupProgress key={group.id} group={group} />
          ))}
        </tbody>
      </table>
      {more > 0 && (
        <p class="quiet">
          and <a href={linkTo("progress")}>{integer(more)} more groups</a>
        </p>
      )}
    </>
  );
}

function Memory() {
  const workers = useView<Workers>(`workers?limit=${MEMORY_ROWS}&offset=0`, () => 1000).value;
  if (!workers) return <p class="quiet">Waiting for the first answer.</p>;
  if (workers.workers.length === 0) return <p class="quiet">No worker has joined yet.</p>;
  return (
    <>
      <table class="groups of-workers" aria-label="workers: memory used, and its limit">
        <tbody>
          {workers.workers.map((worker) => (
            <tr key={worker.id}>
              <th scope="row">
                <span class="who">
                  worker&nbsp;
                  <Name text={worker.name} length={24} />
                </span>
              </th>
              <td class="wide">
                <MemoryBar
                  used={worker.memory.process}
                  limit={worker.memory.limit}
                  stored={worker.memory.stored}
                  spilled={worker.memory.spilled}
                />
              </td>
              <td class="number">
                {bytes(worker.memory.process)}
                {worker.memory.limit ? ` / ${bytes(worker.memory.limit)}` : ""}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="quiet">
        <i class="swatch memory-used" />
        process, <i class="swatch memory-stored" />
        results of tasks
        {workers.total > workers.workers.length && (
          <>
            {" "}
            · and{" "}
            <a href={linkTo("workers")}>{integer(workers.total - workers.workers.length)} more workers</a>
          </>
        )}
      </p>
    </>
  );
}
