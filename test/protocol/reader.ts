/**
 * A reader: sections of two lookups, as in assembly/readers.ts. What it has pinned does not change.
 *
 *   load root -> pin -> load root again -> same: inside -> lookup, lookup -> unpin -> notify a waiting writer
 *                 ^--- another one -----|
 *
 * If the root carries the bit of the gate or of a hurry, it takes its pin back and sleeps until an opening is
 * counted, then wakes one more; for a hurry once a section.
 */
import type { Configuration } from "./configuration.js";
import { endSteps, type HurryLabel, SLEEPERS } from "./hurry.js";
import { GATE, HURRY, type Machine, ROOT_BITS } from "./machine.js";
import { checkHold, checkLookup, checkSleepers } from "./properties.js";
import { type Program, Thread } from "./thread.js";

type Label =
  | "claim"
  | "claimBlindly"
  | "load"
  | "pin"
  | "lookAgain"
  | "tell"
  | "notify"
  | "lookForOthers"
  | "lookup"
  | "lookupMore"
  | "unpin"
  | "release"
  | "gateUnpin"
  | "gateCount"
  | "gateLook"
  | "gateSleep"
  | "gateAsleep"
  | "hurryAsleep"
  | "gatePassOn"
  | HurryLabel;

const SECTION = 0;
const LOADED = 1;
const SEEN = 2;
const LINE = 3;
const REPINNED = 4;
const REFRESHED = 5;
const TELLS = 6;
const LOOKED = 7;
const OPENINGS = 8;
const HELD = 9;
const VARIABLES = 10;

/** Where it goes on once it has told the writer that its pin has changed. */
const ENTERED = 1;
const LEFT = 2;
const AT_GATE = 3;

/** In the set of lines looked at: it looks at all. */
const LOOKS = 0x80;

/** What it knows of the count of openings: nothing; that it was not counted up since the look at it; that it was. */
const UNSEEN = 0;
const SAME = 1;
const MORE = 2;

export class Reader extends Thread {
  readonly kind = "reader";
  readonly #sections: number;
  readonly refreshes: boolean;
  /** It shares lines with others, and must claim one. */
  readonly claims: boolean;

  /** The gate holds it. */
  readonly isVcpu: boolean;

  constructor(machine: Machine, crew: readonly Thread[], base: number, configuration: Configuration) {
    super(machine, crew, `reader ${crew.length}`, base, VARIABLES, STEPS);
    this.isVcpu = crew.length < configuration.readers - (configuration.oneShot ?? 0);
    this.#sections = configuration.sections;
    this.refreshes = configuration.refresh ?? false;
    this.claims = configuration.lines !== undefined;
  }

  start(): void {
    if (!this.claims) this.machine.bytes[this.machine.ownerWord(this.line)] = this.token;
    this.goTo(this.claims ? "claim" : "load");
  }

  /** Sections done. */
  get section(): number {
    return this.variable(SECTION);
  }
  set section(value: number) {
    this.setVariable(SECTION, value);
  }

  get isLastSection(): boolean {
    return this.section + 1 >= this.#sections;
  }

  /** The root as it was loaded last. */
  get loaded(): number {
    return this.variable(LOADED);
  }
  set loaded(value: number) {
    this.setVariable(LOADED, value);
  }

  /** Layout of its last lookup, 0 before the first. */
  get seen(): number {
    return this.variable(SEEN);
  }
  set seen(value: number) {
    this.setVariable(SEEN, value);
  }

  get line(): number {
    return this.claims ? this.variable(LINE) : this.index;
  }
  set line(value: number) {
    this.setVariable(LINE, value);
  }

  /** It stored a pin over another one: a writer may sleep on the one that is gone. */
  get repinned(): boolean {
    return this.variable(REPINNED) !== 0;
  }
  set repinned(value: boolean) {
    this.setVariable(REPINNED, value ? 1 : 0);
  }

  /** It is past the refresh of this section. */
  get refreshed(): boolean {
    return this.variable(REFRESHED) !== 0;
  }
  set refreshed(value: boolean) {
    this.setVariable(REFRESHED, value ? 1 : 0);
  }

  /** Where it goes on once the writer knows that its pin has changed. */
  get tells(): number {
    return this.variable(TELLS);
  }
  set tells(value: number) {
    this.setVariable(TELLS, value);
  }

  /** Lines that it has looked at, to see whether it is the last reader of a replaced layout; as a set. */
  get looked(): number {
    return this.variable(LOOKED);
  }
  set looked(value: number) {
    this.setVariable(LOOKED, value);
  }

  get openings(): number {
    return this.variable(OPENINGS);
  }
  set openings(value: number) {
    this.setVariable(OPENINGS, value);
  }

  /** This section was held for a writer in a hurry. */
  get held(): boolean {
    return this.variable(HELD) !== 0;
  }
  set held(value: boolean) {
    this.setVariable(HELD, value ? 1 : 0);
  }

  /** The root as this reader takes it: with the bits that it waits for. */
  look(): number {
    const { root } = this.machine;
    if (!this.isVcpu) return root & ~ROOT_BITS;
    const passes = this.held && this.machine.keeps("a section is held once");
    const heeded = this.machine.keeps("readers heed the gate") ? root : root & ~GATE;
    return passes ? heeded & ~HURRY : heeded;
  }

  protected override missOpening(): void {
    if (this.openings === SAME) this.openings = MORE;
  }

  override get sleepsOn(): number {
    return this.step?.asleep ? this.machine.openingsWord : -1;
  }

  protected override get hasMissedOpening(): boolean {
    return this.openings === MORE;
  }

  /** A wake-up that is left over from an earlier opening is none. */
  protected override wakeUp(): void {
    if (this.openings === SAME) return;
    awake(this, this.at("hurryAsleep"));
    this.goTo(afterOpening(this));
  }
}

/** An opening was counted while it slept. */
function afterOpening(me: Reader): Label {
  return me.machine.keeps("a wake-up is passed on") ? "gatePassOn" : beginGate(me);
}

/** The sleep at a gate is over. */
function awake(me: Reader, held: boolean): void {
  if (held) me.held = true;
  me.openings = UNSEEN;
}

/** The writer knows, or there is none. */
function told(me: Reader): Label | "finished" {
  const { tells } = me;
  me.tells = me.looked = 0;
  if (tells === ENTERED) return "lookup";
  return tells === AT_GATE ? beginGate(me) : afterUnpin(me);
}

function atGate(me: Reader): Label {
  return me.machine.keeps("readers unpin at the gate") ? "gateUnpin" : beginGate(me);
}

function beginGate(me: Reader): Label {
  return me.machine.keeps("openings before the look") ? "gateCount" : "gateLook";
}

function afterPin(me: Reader): Label {
  const { machine } = me;
  const looksAgain = machine.keeps("pin before the second look") && machine.keeps("second look at the root");
  return looksAgain ? "lookAgain" : enter(me);
}

/** What is pinned is published: the section begins, or goes on after its refresh. */
function enter(me: Reader): Label {
  const rule = me.refreshed ? "notify after another pin at refresh" : "notify after another pin at enter";
  const wakes = me.repinned && me.machine.keeps(rule);
  me.repinned = me.held = false;
  if (!wakes) return "lookup";
  me.tells = ENTERED;
  return "tell";
}

function afterLookups(me: Reader): Label | "finished" {
  if (!me.machine.keeps("unpin after the last lookup")) return leave(me);
  const releasesFirst = me.claims && me.isLastSection && !me.machine.keeps("unpin before release");
  return releasesFirst ? "release" : "unpin";
}

function afterUnpin(me: Reader): Label | "finished" {
  return me.machine.keeps("unpin after the last lookup") ? leave(me) : "lookupMore";
}

function leave(me: Reader): Label | "finished" {
  me.loaded = 0;
  me.refreshed = false;
  if (me.isLastSection) {
    return me.claims && me.machine.keeps("unpin before release") ? "release" : finish(me);
  }
  me.section += 1;
  return "load";
}

function finish(me: Reader): "finished" {
  me.forget();
  return "finished";
}

const STEPS: Program<Label, Reader> = {
  claim: {
    says: "claims a line that is free",
    choices: 2,
    run(me, line) {
      const { machine } = me;
      if (line >= machine.lines || machine.owner(line) !== 0) return undefined;
      me.line = line;
      if (!machine.keeps("claim compares")) return "claimBlindly";
      machine.exchange(me, machine.ownerWord(line), 0, me.token);
      return "load";
    },
  },
  claimBlindly: {
    says: "stores itself as owner",
    run(me) {
      me.machine.store(me, me.machine.ownerWord(me.line), me.token);
      return "load";
    },
  },
  load: {
    says: "loads the root",
    run(me) {
      me.loaded = me.look();
      if (me.loaded & ROOT_BITS) return atGate(me);
      return me.machine.keeps("pin before the second look") ? "pin" : "lookAgain";
    },
  },
  pin: {
    says: "pins it",
    run(me) {
      const { machine } = me;
      const before = machine.pin(me.line);
      if (before !== 0 && before !== me.loaded) me.repinned = true;
      machine.store(me, machine.pinWord(me.line), me.loaded, machine.keeps("pin is fenced"));
      return afterPin(me);
    },
  },
  lookAgain: {
    says: "loads the root again",
    run(me) {
      const root = me.look();
      const same = root === me.loaded;
      me.loaded = root;
      if (root & ROOT_BITS) return atGate(me);
      if (!me.machine.keeps("pin before the second look")) return same ? "pin" : "lookAgain";
      return same ? enter(me) : "pin";
    },
  },
  tell: {
    says: "asks if a writer waits",
    run(me) {
      const { waiting } = me.machine;
      if (waiting === 0) return told(me);
      me.looked = waiting === 2 && me.machine.keeps("the last reader ends a hurry") ? LOOKS : 0;
      return "notify";
    },
  },
  notify: {
    says: "notifies",
    run(me) {
      me.notifyAll(me.machine.pinWord(me.line));
      return me.looked === 0 ? told(me) : "lookForOthers";
    },
  },
  lookForOthers: {
    says: "looks if another reader is in a replaced layout",
    choices: 3,
    run(me, line) {
      const { machine } = me;
      if (line >= machine.lines || me.looked & (1 << line)) return undefined;
      const pin = machine.pin(line);
      if (pin !== 0 && pin !== (machine.root & ~ROOT_BITS)) return told(me);
      me.looked |= 1 << line;
      const all = LOOKS | ((1 << machine.lines) - 1);
      return me.looked === all ? "endWait" : "lookForOthers";
    },
  },
  lookup: {
    says: "looks up slot 0",
    inside: true,
    run(me) {
      checkLookup(me, 0, false);
      checkSleepers(me);
      if (!me.refreshes || me.refreshed)
        return me.machine.keeps("unpin after the last lookup") ? "lookupMore" : "unpin";
      me.refreshed = true;
      return "load";
    },
  },
  lookupMore: {
    says: "looks up slot 1",
    inside: true,
    run(me) {
      checkLookup(me, 1, true);
      return afterLookups(me);
    },
  },
  unpin: {
    says: "takes its pin back",
    run(me) {
      const { machine } = me;
      machine.store(me, machine.pinWord(me.line), 0, machine.keeps("unpin is fenced"));
      if (!machine.keeps("notify after unpin")) return afterUnpin(me);
      me.tells = LEFT;
      return "tell";
    },
  },
  release: {
    says: "gives its line back",
    run(me) {
      const { machine } = me;
      machine.store(me, machine.ownerWord(me.line), 0);
      return machine.keeps("unpin before release") ? finish(me) : "unpin";
    },
  },
  gateUnpin: {
    says: "sees the gate closed and takes its pin back",
    run(me) {
      me.repinned = false;
      me.machine.store(me, me.machine.pinWord(me.line), 0);
      if (!me.machine.keeps("notify after unpin at the gate")) return beginGate(me);
      me.tells = AT_GATE;
      return "tell";
    },
  },
  gateCount: {
    says: "looks how often the gate was opened",
    run(me) {
      me.openings = SAME;
      return me.machine.keeps("openings before the look") ? "gateLook" : "gateSleep";
    },
  },
  gateLook: {
    says: "looks if it is still closed",
    run(me) {
      me.loaded = me.look();
      if (me.loaded & ROOT_BITS)
        return me.machine.keeps("openings before the look") ? "gateSleep" : "gateCount";
      me.openings = UNSEEN;
      return me.machine.keeps("pin before the second look") ? "pin" : "lookAgain";
    },
  },
  gateSleep: {
    says: "goes to sleep, unless an opening was counted since",
    run(me) {
      const waitsForGate = (me.loaded & GATE) !== 0;
      if (!waitsForGate) checkHold(me);
      if (me.hasStore) me.machine.blocked = true;
      if (me.openings === SAME) return waitsForGate ? "gateAsleep" : "hurryAsleep";
      awake(me, !waitsForGate);
      return afterOpening(me);
    },
  },
  gatePassOn: {
    says: "wakes one more",
    choices: SLEEPERS,
    run: (me, choice) => (me.notifyOne(me.machine.openingsWord, choice) ? beginGate(me) : undefined),
  },
  gateAsleep: {
    says: "has slept long enough",
    asleep: true,
    run(me) {
      awake(me, false);
      return beginGate(me);
    },
  },
  hurryAsleep: {
    says: "has slept long enough for a writer in a hurry",
    asleep: true,
    run(me) {
      awake(me, true);
      me.tells = AT_GATE;
      return "endWait";
    },
  },
  ...endSteps<Reader, Label | "finished">(told),
};
