/** The broker itself: what it is, how its database does, what it was set to, and the machines that it may start. */
import { useSignal } from "@preact/signals";
import { HealthLevel, type HealthLine } from "../../../src/gen/aibroker/v1/admin_service_pb.ts";
import { Ago } from "../../parts/ago.tsx";
import { Fault } from "../../parts/fault.tsx";
import { PageHead } from "../../parts/page-head.tsx";
import { useResource } from "../../parts/resource.ts";
import { server } from "../../state/session.ts";
import { admin, brokerUrl } from "../../wire/calls.ts";
import { msOf } from "../../wire/convert.ts";
import { words } from "../../words/language.ts";
import { Starts } from "./starts.tsx";

const LOOK_MS = 15_000;

export function System() {
  const t = words.value.system;
  return (
    <>
      <PageHead title={t.title} />
      <div class="system-columns">
        <div>
          <About />
          <Health />
          <Starts />
        </div>
        <Settings />
      </div>
    </>
  );
}

function About() {
  const t = words.value.system;
  const about = server.value;
  if (about === undefined) return null;
  return (
    <section class="panel">
      <header>
        <h2>{t.broker}</h2>
      </header>
      <dl class="facts wide">
        <Fact name={t.address} value={brokerUrl} />
        <Fact name={t.version} value={about.version} />
        <Fact name={t.instance} value={about.instanceId} />
        <Fact name="PostgreSQL" value={about.postgresVersion} />
        <Fact name="Node" value={about.nodeVersion} />
        <div>
          <dt>{t.started}</dt>
          <dd>
            <Ago at={msOf(about.startedAt)} />
          </dd>
        </div>
      </dl>
    </section>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class="mono">{value}</dd>
    </div>
  );
}

const LEVELS: Partial<Record<HealthLevel, "ok" | "warn" | "fail">> = {
  [HealthLevel.OK]: "ok",
  [HealthLevel.WARN]: "warn",
  [HealthLevel.FAIL]: "fail",
};

function Health() {
  const { value, error, refresh } = useResource((signal) => admin.getHealth({}, { signal }), "health", LOOK_MS);
  const t = words.value.system;
  return (
    <section class="panel">
      <header>
        <h2>{t.health}</h2>
        <span class="push" />
        <span class="faint">
          <Ago at={msOf(value.value?.checkedAt)} />
        </span>
      </header>
      {error.value && <Fault error={error.value} retry={refresh} />}
      <ul class="health">
        {value.value?.lines.map((line) => (
          <Line key={`${line.name} ${line.text}`} line={line} />
        ))}
      </ul>
    </section>
  );
}

function Line({ line: { name, level, text, advice } }: { line: HealthLine }) {
  const known = LEVELS[level] ?? "warn";
  return (
    <li class={`health-${known}`}>
      <span class="badge">{words.value.system.levels[known]}</span>
      <strong>{name}</strong>
      <span>
        {text}
        {advice !== "" && <span class="advice">{advice}</span>}
      </span>
    </li>
  );
}

function Settings() {
  const wanted = useSignal("");
  const t = words.value.system;
  const all = server.value?.settings ?? [];
  const shown = all.filter(({ name, about }) => `${name} ${about}`.toLowerCase().includes(wanted.value.toLowerCase()));
  return (
    <section class="panel">
      <header>
        <h2>{t.settings}</h2>
        <span class="push" />
        <input
          type="search"
          class="small"
          placeholder={t.find}
          aria-label={t.find}
          value={wanted.value}
          onInput={(event) => (wanted.value = event.currentTarget.value)}
        />
      </header>
      <dl class="settings">
        {shown.map(({ name, value, about, secret }) => (
          <div key={name}>
            <dt>
              <code>{name}</code>
              <span class="faint">{about}</span>
            </dt>
            <dd class="mono">
              {value === "" ? <span class="faint">{t.unset}</span> : secret ? t.secret(value) : value}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
