/** The frame of all pages: where one can go, how the page stands to the broker, and how it looks. */

import { Job } from "./pages/jobs/job.tsx";
import { Jobs } from "./pages/jobs/jobs.tsx";
import { Login } from "./pages/login.tsx";
import { Overview } from "./pages/overview/overview.tsx";
import { System } from "./pages/system/system.tsx";
import { Webhooks } from "./pages/webhooks/webhooks.tsx";
import { Workers } from "./pages/workers/workers.tsx";
import { LinkState } from "./parts/link-state.tsx";
import { Segmented } from "./parts/segmented.tsx";
import { Toasts } from "./parts/toasts.tsx";
import { hrefOf, PAGES, route } from "./state/route.ts";
import { mayChange, server, session, signOut } from "./state/session.ts";
import { THEMES, theme } from "./state/theme.ts";
import { LANGUAGES, language, words } from "./words/language.ts";

export function App() {
  const now = session.value;
  if (now.kind === "out") return <Outside error={now.error} />;
  if (now.kind === "trying")
    return (
      <main class="login" id="main">
        <p class="loading" role="status">
          {now.error === undefined ? words.value.loading : words.value.link.away(now.error.message)}
        </p>
        <button type="button" onClick={() => signOut()}>
          {words.value.signOut}
        </button>
      </main>
    );
  return (
    <div class="app">
      <Header />
      <main id="main" tabIndex={-1}>
        <CurrentPage />
      </main>
      <Toasts />
    </div>
  );
}

function Outside({ error }: { error: Parameters<typeof Login>[0]["error"] }) {
  return (
    <>
      <Login error={error} />
      <header class="outside-switches">
        <Switches />
      </header>
      <Toasts />
    </>
  );
}

function CurrentPage() {
  const { page, id } = route.value;
  if (page === "jobs") return id === "" ? <Jobs /> : <Job key={id} id={id} />;
  if (page === "workers") return <Workers />;
  if (page === "webhooks") return <Webhooks />;
  if (page === "system") return <System />;
  return <Overview />;
}

function Header() {
  const { page } = route.value;
  const t = words.value;
  return (
    <header class="top">
      <button type="button" class="skip" onClick={() => document.querySelector<HTMLElement>("#main")?.focus()}>
        {t.skip}
      </button>
      <a class="brand" href={hrefOf("overview")} aria-label={t.product}>
        <Mark />
        <span>{t.product}</span>
      </a>
      <nav aria-label={t.pages}>
        {PAGES.map((name) => (
          <a key={name} href={hrefOf(name)} aria-current={name === page ? "page" : undefined}>
            {t[name].title}
          </a>
        ))}
      </nav>
      <span class="push" />
      {server.value && !mayChange.value && (
        <span class="badge" title={t.readOnlyHint}>
          {t.readOnly}
        </span>
      )}
      <LinkState />
      <Switches />
      <button type="button" class="quiet small" onClick={() => signOut()}>
        {t.signOut}
      </button>
    </header>
  );
}

function Switches() {
  const t = words.value;
  const marks = { auto: "◐", light: "☀", dark: "☾" };
  const names = { en: "EN", ko: "KO" };
  const full = { en: "English", ko: "한국어" };
  return (
    <div class="switches">
      <Segmented
        label={t.theme}
        options={THEMES.map((value) => ({ value, text: marks[value], hint: t.themes[value] }))}
        chosen={theme.value}
        choose={(value) => (theme.value = value)}
      />
      <Segmented
        label={t.language}
        options={LANGUAGES.map((value) => ({ value, text: names[value], hint: full[value] }))}
        chosen={language.value}
        choose={(value) => (language.value = value)}
      />
    </div>
  );
}

function Mark() {
  return (
    <svg class="brand-mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" />
      <rect x="7" y="8" width="11" height="4" rx="2" />
      <rect x="7" y="14" width="18" height="4" rx="2" />
      <rect x="7" y="20" width="7" height="4" rx="2" />
    </svg>
  );
}
