/** The dashboard: a page that calls the broker it came from, with the token of whoever looks at it. */
import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import { App } from "./app.tsx";
import { keepStatsLive } from "./state/live-stats.ts";
import { resume } from "./state/session.ts";

keepStatsLive();
void resume();

const place = document.querySelector("#app");
if (place !== null) render(<App />, place);
