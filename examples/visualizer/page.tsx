/** The page: starts the machine, loads a recorded boot, and shows the state of the player. */
import { type ComponentChildren, render } from "preact";
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { COLOURS, DRAWING } from "../../src/map/style.js";
import type { Mode } from "./board.js";
import { type Crew, startCrew } from "./crew.js";
import { timelineOfFiles } from "./files.js";
import type { DirtyLog } from "./machine.js";
import { CommitList, ModeSwitch, Vcpus } from "./panels.js";
import { Player, type PlayerState } from "./player.js";
import { Scrubber } from "./scrubber.js";
import { Stage } from "./stage.js";
import type { Timeline } from "./timeline.js";

const SPEEDS = [0.5, 1, 2, 8];
/** Milliseconds between two harvests of the dirty logs. */
const DIRTY_MS = 500;
const FIRST = "pc-1g-reset";
const HOME = "https://memslots.github.io/memslots/";

/** A timeline opens before the first commit that would make memory vanish. */
function openingOf({ steps }: Timeline): number {
  return Math.max(
    0,
    steps.findIndex(({ hole }) => hole.bytes > 2 ** 20),
  );
}

/** A page that is opened plays at once, unless its address ends in "#paused" or the visitor wants it still. */
function opensPlaying(): boolean {
  return location.hash !== "#paused" && !matchMedia("(prefers-reduced-motion: reduce)").matches;
}

async function boot(name: string): Promise<Timeline> {
  const file = `${name}.jsonl.gz`;
  const response = await fetch(`./traces/${file}`);
  if (!response.ok) throw new Error(`${file}: the server answers ${response.status}`);
  return timelineOfFiles([{ name: file, blob: await response.blob() }]);
}

function Notice({ children, alert }: { children: ComponentChildren; alert?: boolean }) {
  return (
    <div class={alert ? "notice alert" : "notice"} role={alert ? "alert" : "note"}>
      {children}
    </div>
  );
}

function NotIsolated() {
  return (
    <Notice>
      <strong>No vCPUs here: this page is not cross-origin isolated.</strong> Workers may share memory with a
      page only if it is served with the headers <code>Cross-Origin-Opener-Policy: same-origin</code> and{" "}
      <code>Cross-Origin-Embedder-Policy: require-corp</code>. <code>npm run demo</code> does so. The layouts
      play all the same, on an engine in this page.
    </Notice>
  );
}

interface ControlsProps {
  readonly state: PlayerState;
  readonly player: Player;
}

function Controls({ state, player }: ControlsProps) {
  const { playing, speed } = state;
  return (
    <div class="controls">
      <button type="button" class="primary" onClick={() => (playing ? player.pause() : player.play())}>
        {playing ? "Pause" : "Play"}
      </button>
      <button type="button" onClick={() => void player.tick()} disabled={playing}>
        Step
      </button>
      <label>
        <span>Speed</span>
        <select value={speed} onChange={(event) => player.setSpeed(Number(event.currentTarget.value))}>
          {SPEEDS.map((each) => (
            <option key={each} value={each}>
              {each}×
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}

interface PickerProps {
  readonly boots: readonly string[];
  readonly title: string;
  open(timeline: Promise<Timeline>): void;
}

function Picker({ boots, title, open }: PickerProps) {
  return (
    <div class="picker">
      <label>
        <span>Recorded boot</span>
        <select
          value={boots.includes(title) ? title : ""}
          onChange={(event) => open(boot(event.currentTarget.value))}
        >
          {!boots.includes(title) && <option value="">{title || "loading"}</option>}
          {boots.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label class="file">
        <span>Open your own</span>
        <input
          type="file"
          multiple
          onChange={(event) => {
            const files = [...(event.currentTarget.files ?? [])];
            event.currentTarget.value = "";
            if (files.length > 0) open(timelineOfFiles(files.map((blob) => ({ name: blob.name, blob }))));
          }}
        />
      </label>
    </div>
  );
}

/** Width of an element, followed as it changes. */
function useWidth() {
  const element = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    observer.observe(element.current!);
    return () => observer.disconnect();
  }, []);
  return [element, width] as const;
}

/** True while files are dragged over the page; `open` gets the dropped ones. */
function useDrop(open: (files: readonly File[]) => void): boolean {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const isFiles = ({ dataTransfer }: DragEvent) => dataTransfer?.types.includes("Files") ?? false;
    const listeners: Readonly<Record<string, (event: DragEvent) => void>> = {
      dragover(event) {
        if (!isFiles(event)) return;
        event.preventDefault();
        setOver(true);
      },
      dragleave(event) {
        if (event.relatedTarget === null) setOver(false);
      },
      drop(event) {
        if (!isFiles(event)) return;
        event.preventDefault();
        setOver(false);
        open([...(event.dataTransfer?.files ?? [])]);
      },
    };
    for (const [name, listener] of Object.entries(listeners))
      addEventListener(name, listener as EventListener);
    return () => {
      for (const [name, listener] of Object.entries(listeners))
        removeEventListener(name, listener as EventListener);
    };
  }, [open]);
  return over;
}

/** Dirty logs of the logged slots, harvested while the page is visible. */
function useDirtyLogs({ machine, board }: Crew, state: PlayerState): readonly DirtyLog[] {
  const [logs, setLogs] = useState<readonly DirtyLog[]>([]);
  const slots = state.machine.slots.filter(({ flags }) => flags & 1).map(({ slot }) => slot);
  const key = slots.join();
  useEffect(() => {
    if (board === undefined || key === "") {
      setLogs([]);
      return;
    }
    const timer = setInterval(() => {
      if (document.hidden) return;
      machine.dirtyLogs(key.split(",").map(Number)).then(setLogs, () => clearInterval(timer));
    }, DIRTY_MS);
    return () => clearInterval(timer);
  }, [machine, board, key]);
  return logs;
}

function App({ crew, player, boots }: { crew: Crew; player: Player; boots: readonly string[] }) {
  const [state, setState] = useState(player.state);
  const [trouble, setTrouble] = useState<string>();
  const [stage, width] = useWidth();
  const dirty = useDirtyLogs(crew, state);
  const open = useCallback(
    async (timeline: Promise<Timeline>) => {
      try {
        const loaded = await timeline;
        await player.load(loaded);
        await player.seek(openingOf(loaded));
        if (opensPlaying()) player.play();
        setTrouble(undefined);
      } catch (error) {
        setTrouble(error instanceof Error ? error.message : String(error));
      }
    },
    [player],
  );
  const over = useDrop(
    useCallback(
      (files: readonly File[]) =>
        void open(timelineOfFiles(files.map((blob) => ({ name: blob.name, blob })))),
      [open],
    ),
  );
  useEffect(() => {
    listen = setState;
    void open(boot(FIRST));
  }, [open]);
  const problem = state.error ?? trouble;
  return (
    <>
      <Header boots={boots} title={state.timeline.title} note={state.timeline.note} open={open} />
      <main>
        {problem !== undefined && <Notice alert>{problem}</Notice>}
        {crew.board === undefined && <NotIsolated />}
        <ModeSwitch
          mode={state.mode}
          board={crew.board}
          setMode={(mode: Mode) => void player.setMode(mode)}
        />
        <div class="transport">
          <Controls state={state} player={player} />
          <Scrubber
            state={state}
            seek={(step) => {
              player.pause();
              void player.seek(step);
            }}
          />
        </div>
        <div class="board">
          <div class="picture" ref={stage}>
            {width > 0 && <Stage state={state} board={crew.board} dirty={dirty} width={width} />}
            <Legend vcpus={crew.board !== undefined} />
          </div>
          <aside>
            <CommitList state={state} />
            <Vcpus board={crew.board} mode={state.mode} />
            <Engine state={state} />
          </aside>
        </div>
      </main>
      {over && <div class="drop">Drop a trace, or dumps of a memory map</div>}
    </>
  );
}

function Header(props: PickerProps & { note: string }) {
  return (
    <header>
      <div>
        <p class="brand">
          <a href={HOME}>memslots</a>
        </p>
        <h1>A memory map that changes while it is read</h1>
        <p class="note">{props.note}</p>
      </div>
      <Picker {...props} />
    </header>
  );
}

function Legend({ vcpus }: { vcpus: boolean }) {
  return (
    <ul class="legend">
      <li>
        <svg class="map swatch" aria-hidden="true">
          <rect width="100%" height="100%" fill="url(#readonly)" class="frame" />
        </svg>
        READONLY
      </li>
      <li>
        <svg class="map swatch" aria-hidden="true">
          <rect width="100%" height="100%" fill="url(#log)" class="frame" />
        </svg>
        LOG_DIRTY_PAGES
      </li>
      <li>
        <svg class="map swatch missing" aria-hidden="true">
          <rect width="100%" height="100%" fill="url(#missing)" />
        </svg>
        mapped before and after, not now
      </li>
      {vcpus && (
        <li>
          <span class="dot">0</span> a vCPU, where it looks
        </li>
      )}
      <li class="quiet">heights: logarithm of the size</li>
    </ul>
  );
}

function Engine({ state }: { state: PlayerState }) {
  const { generation, publications, took } = state.machine;
  return (
    <section class="card engine">
      <dl>
        <div>
          <dt>generation</dt>
          <dd>{generation}</dd>
        </div>
        <div>
          <dt>publications</dt>
          <dd>{publications}</dd>
        </div>
        <div>
          <dt>last commit</dt>
          <dd>{took.toFixed(2)} ms</dd>
        </div>
      </dl>
    </section>
  );
}

let listen: (state: PlayerState) => void = () => {};

async function main(): Promise<void> {
  const root = document.getElementById("app")!;
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(COLOURS + DRAWING);
    document.adoptedStyleSheets = [sheet];
    let player: Player | undefined;
    const crew = await startCrew((error) => player?.fail(error.message));
    player = new Player(crew.machine, (state) => listen(state));
    const boots = (await (await fetch("./traces/index.json")).json()) as string[];
    root.textContent = "";
    render(<App crew={crew} player={player} boots={boots} />, root);
  } catch (error) {
    root.textContent = `This page could not start: ${error instanceof Error ? error.message : error}`;
    throw error;
  }
}

void main();
