/**
 * `npm run fetch:linux`: the guest, from the Debian mirror that this computer's apt uses, by apt with lists and a
 * folder of its own: nothing is installed, the system's apt does not notice, and no rights are needed. Exit code 1 if
 * the packages are not to be had.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { GUEST, GUEST_FILES, INSTALLER } from "./guest.js";

const SUITE = "trixie";
const ARCHITECTURE = "riscv64";
const PACKAGES = ["debian-installer-13-netboot-riscv64", "busybox-static"];
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const WORK = `${GUEST}/apt`;

/** The mirrors of this computer's sources, without their suites. */
function mirrors(): string[] {
  const uris = execFileSync("apt-get", ["--print-uris", "update"], { encoding: "utf8" });
  const bases = [...uris.matchAll(/^'(\S+)\/dists\/\S+\/InRelease'/gm)].map((match) => match[1]!);
  return [...new Set(bases)];
}

/** apt with its state below WORK, of the other architecture. */
function apt(...args: readonly string[]): string {
  const options = {
    "Dir::Etc::sourcelist": `${WORK}/sources.list`,
    "Dir::Etc::sourceparts": "-",
    "Dir::Etc::preferencesparts": "-",
    "Dir::State": `${WORK}/state`,
    "Dir::State::status": `${WORK}/status`,
    "Dir::Cache": `${WORK}/cache`,
    "APT::Architecture": ARCHITECTURE,
    "APT::Architectures": ARCHITECTURE,
    "Acquire::Languages": "none",
    // The user that apt takes for downloads may not be able to write here.
    "APT::Sandbox::User": "root",
  };
  const settings = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  return execFileSync("apt-get", ["-q", ...settings, ...args], {
    cwd: WORK,
    encoding: "utf8",
    stdio: "pipe",
  });
}

/** Download the packages from `mirror` into WORK. @throws Error with what apt says */
function download(mirror: string): void {
  rmSync(WORK, { recursive: true, force: true });
  for (const folder of ["state/lists/partial", "cache/archives/partial"]) {
    mkdirSync(`${WORK}/${folder}`, { recursive: true });
  }
  writeFileSync(`${WORK}/status`, "");
  const signed = existsSync(KEYRING) ? `[signed-by=${KEYRING}] ` : "";
  writeFileSync(`${WORK}/sources.list`, `deb ${signed}${mirror} ${SUITE} main\n`);
  apt("update");
  apt("download", ...PACKAGES);
}

/** Take the guest's files out of the packages. */
function unpack(): void {
  const root = `${WORK}/root`;
  const packages = readdirSync(WORK).filter((name) => name.endsWith(".deb"));
  for (const name of packages) execFileSync("dpkg-deb", ["-x", `${WORK}/${name}`, root]);
  cpSync(`${root}${INSTALLER}/linux`, GUEST_FILES.kernel);
  cpSync(`${root}${INSTALLER}/initrd.gz`, GUEST_FILES.installer);
  cpSync(`${root}/usr/bin/busybox`, GUEST_FILES.busybox);
  writeFileSync(`${GUEST}/packages.txt`, packages.map((name) => `${decodeURIComponent(name)}\n`).join(""));
}

function reasonOf(error: unknown): string {
  const { stderr, message } = error as Error & { stderr?: string };
  return (stderr || message).trim().split("\n").at(-1) ?? "";
}

function fetchGuest(): boolean {
  const reasons: string[] = [];
  try {
    for (const mirror of mirrors()) {
      try {
        download(mirror);
        unpack();
        return true;
      } catch (error) {
        reasons.push(reasonOf(error));
      } finally {
        rmSync(WORK, { recursive: true, force: true });
      }
    }
  } catch (error) {
    reasons.push(reasonOf(error));
  }
  console.error(`fetch:linux: ${PACKAGES.join(", ")} of Debian ${SUITE} are not to be had`);
  for (const reason of reasons) console.error(`  ${reason}`);
  return false;
}

if (Object.values(GUEST_FILES).every((file) => existsSync(file))) console.log(`the guest is in ${GUEST}`);
else if (fetchGuest()) console.log(`the guest is in ${GUEST} now`);
else process.exitCode = 1;
