/**
 * A reader: sections of two lookups, as in assembly/readers.ts. What it has pinned does not change.
 *
 *   load root -> pin -> load root again -> same: inside -> lookup, lookup -> unpin -> notify a waiting writer
 *                 ^--- another one -----|
 *
 * If the root carries the gate bit, it takes its pin back and sleeps on the root until the bit is gone.
 */
import type { Configuration } from "./configuration.js";
import { GATE, type Machine } from "./machine.js";
import { checkLookup, checkSleepers } from "./properties.js";
import { type Program, Thread } from "./thread.js";

type Label =
  | "claim"
  | "claimBlindly"
  | "load"
  | "pin"
  | "lookAgain"
  | "wakeAfterPin"
  | "notifyAfterPin"
  | "lookup"
  | "lookupMore"
  | "unpin"
  | "wake"
  | "notify"
  | "release"
  | "gateUnpin"
  | "gateWake"
  | "gateNotify"
  | "gateSleep"
  | "gateAsleep";

const SECTION = 0;
const LOADED = 1;
const SEEN = 2;
const LINE = 3;
const REPINNED = 4;
const REFRESHED = 5;
const VARIABLES = 6;

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

  /** The root as this reader takes it. */
  look(): number {
    const { root } = this.machine;
    return this.isVcpu && this.machine.keeps("readers heed the gate") ? root : root & ~GATE;
  }

  override get sleepsOn(): number {
    return this.step?.asleep ? this.machine.rootWord : -1;
  }

  protected override wakeUp(): void {
    this.goTo("load");
  }
}

function atGate(me: Reader): Label {
  return me.machine.keeps("readers unpin at the gate") ? "gateUnpin" : "gateSleep";
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
  me.repinned = false;
  return wakes ? "wakeAfterPin" : "lookup";
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
      if (me.loaded & GATE) return atGate(me);
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
      if (root & GATE) return atGate(me);
      if (!me.machine.keeps("pin before the second look")) return same ? "pin" : "lookAgain";
      return same ? enter(me) : "pin";
    },
  },
  wakeAfterPin: {
    says: "asks if a writer sleeps on the pin that was there",
    inside: true,
    run: (me) => (me.machine.waiting !== 0 ? "notifyAfterPin" : "lookup"),
  },
  notifyAfterPin: {
    says: "notifies",
    inside: true,
    run(me) {
      me.notifyAll(me.machine.pinWord(me.line));
      return "lookup";
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
      return machine.keeps("notify after unpin") ? "wake" : afterUnpin(me);
    },
  },
  wake: {
    says: "asks if a writer sleeps",
    run: (me) => (me.machine.waiting !== 0 ? "notify" : afterUnpin(me)),
  },
  notify: {
    says: "notifies",
    run(me) {
      me.notifyAll(me.machine.pinWord(me.line));
      return afterUnpin(me);
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
      return me.machine.keeps("notify after unpin at the gate") ? "gateWake" : "gateSleep";
    },
  },
  gateWake: {
    says: "asks if a writer sleeps",
    run: (me) => (me.machine.waiting !== 0 ? "gateNotify" : "gateSleep"),
  },
  gateNotify: {
    says: "notifies",
    run(me) {
      me.notifyAll(me.machine.pinWord(me.line));
      return "gateSleep";
    },
  },
  gateSleep: {
    says: "goes to sleep on the root, unless it has changed",
    run: (me) => (me.machine.stillHolds(me, me.machine.rootWord, me.loaded) ? "gateAsleep" : "load"),
  },
  gateAsleep: {
    says: "has slept long enough",
    asleep: true,
    run: () => "load",
  },
};
