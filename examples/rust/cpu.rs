//! RV32I harts in Rust on guest memory that `memslots` maps. Engine, guest RAM and the stacks of the threads are areas
//! of this module's own memory, so that a host address is an address of the module.
//!
//! The guest sees its base integer instructions alone: no CSRs, no traps. An access that finds no memory is counted
//! and tried again in the next section, which is what an emulator does for which the map is about to change.
#![no_std]

#[path = "../../include/memslots.rs"]
mod memslots;

use core::cell::UnsafeCell;
use core::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering};
use memslots::{TLB_CODE, TLB_READ, TLB_WRITE};

const KIB: usize = 1024;
const HARTS: usize = 4;
const STACK_BYTES: usize = 16 * KIB;
const TLB_ENTRIES: u32 = 64;
/// Instructions of a section: a change of the map waits that long for a hart, some microseconds.
const SECTION: u32 = 1000;
/// Milliseconds that a hart waits for the writer lock before it asks again.
const LOCK_MS: i32 = 5;

/// Bytes that others write besides Rust: the engine, the guest, the thread whose stack it is.
#[repr(C, align(4096))]
struct Area<const BYTES: usize>(UnsafeCell<[u8; BYTES]>);

// SAFETY: only raw pointers reach into an area; guest RAM is accessed as the guest orders it.
unsafe impl<const BYTES: usize> Sync for Area<BYTES> {}

impl<const BYTES: usize> Area<BYTES> {
    const fn new() -> Self {
        Area(UnsafeCell::new([0; BYTES]))
    }

    fn address(&self) -> u32 {
        self.0.get() as usize as u32
    }
}

static ENGINE: Area<{ 512 * KIB }> = Area::new();
static RAM: Area<{ 256 * KIB }> = Area::new();
static STACKS: Area<{ HARTS * STACK_BYTES }> = Area::new();

/// What a hart shows JavaScript; examples/native/machine.ts reads it.
#[repr(C)]
struct Status {
    /// NOT_RUN, RUNNING, or how the hart ended.
    state: AtomicU32,
    /// Accesses that found no memory.
    faults: AtomicU32,
    instructions: AtomicU64,
}

const NOT_RUN: u32 = 0;
const RUNNING: u32 = 1;
const ENDED: u32 = 2;
const ILLEGAL: u32 = 3;
const REFUSED: u32 = 4;

#[allow(clippy::declare_interior_mutable_const)]
const IDLE: Status = Status {
    state: AtomicU32::new(NOT_RUN),
    faults: AtomicU32::new(0),
    instructions: AtomicU64::new(0),
};
static STATUS: [Status; HARTS] = [IDLE; HARTS];

#[no_mangle]
pub extern "C" fn engine_base() -> u32 {
    ENGINE.address()
}

#[no_mangle]
pub extern "C" fn engine_bytes() -> u32 {
    core::mem::size_of_val(&ENGINE) as u32
}

#[no_mangle]
pub extern "C" fn ram_base() -> u32 {
    RAM.address()
}

#[no_mangle]
pub extern "C" fn ram_bytes() -> u32 {
    core::mem::size_of_val(&RAM) as u32
}

#[no_mangle]
pub extern "C" fn status_of(number: usize) -> u32 {
    &STATUS[number] as *const Status as usize as u32
}

/// Where the stack pointer of the thread of a hart begins.
#[no_mangle]
pub extern "C" fn stack_of(number: usize) -> u32 {
    STACKS.address() + ((number + 1) * STACK_BYTES) as u32
}

/// Run hart `number` in the calling thread, from `pc` on, as a vCPU of the engine at `header`, until it ends.
///
/// # Safety
///
/// The engine is one that is alive; each hart runs once, on the stack of its number.
#[no_mangle]
pub unsafe extern "C" fn run_hart(number: usize, header: u32, pc: u32) {
    let status = &STATUS[number];
    status.state.store(RUNNING, Ordering::SeqCst);
    let end = match claim(header) {
        Some(reader) => {
            let mut hart = Hart::new(reader, number as u32, pc);
            let end = hart.run(status);
            memslots::release_reader(reader);
            end
        }
        None => REFUSED,
    };
    status.state.store(end, Ordering::SeqCst);
}

/// A vCPU's line with a TLB, for the calling thread.
unsafe fn claim(header: u32) -> Option<u32> {
    if memslots::check_stamp(header, memslots::LAYOUT_HASH) != 0 {
        return None;
    }
    let owner = memslots::attach_owner(header);
    let reader = memslots::claim_vcpu(header, owner, 1);
    if reader == 0 {
        return None;
    }
    let mut locked = memslots::EAGAIN;
    while locked == memslots::EAGAIN {
        locked = memslots::lock_engine(header, owner, LOCK_MS);
    }
    if locked == 0 {
        locked = memslots::attach_tlb(reader, TLB_ENTRIES);
        memslots::unlock_engine(header);
    }
    if locked != 0 {
        memslots::release_reader(reader);
        return None;
    }
    Some(reader)
}

/// Why a section ends before its last instruction.
enum Stop {
    /// No memory is there, or the address is not aligned.
    Fault,
    Illegal,
    Ecall,
}

struct Hart {
    x: [u32; 32],
    pc: u32,
    reader: u32,
    tlb: u32,
}

impl Hart {
    /// As firmware leaves it: the number is in a0.
    unsafe fn new(reader: u32, number: u32, pc: u32) -> Self {
        let mut x = [0; 32];
        x[10] = number;
        let tlb = memslots::tlb_of(reader);
        Hart { x, pc, reader, tlb }
    }

    unsafe fn run(&mut self, status: &Status) -> u32 {
        loop {
            memslots::enter_section(self.reader);
            let (done, stop) = self.section();
            memslots::exit_section(self.reader);
            status
                .instructions
                .fetch_add(u64::from(done), Ordering::Relaxed);
            match stop {
                None => {}
                Some(Stop::Fault) => {
                    status.faults.fetch_add(1, Ordering::Relaxed);
                }
                Some(Stop::Illegal) => return ILLEGAL,
                Some(Stop::Ecall) => return ENDED,
            }
        }
    }

    unsafe fn section(&mut self) -> (u32, Option<Stop>) {
        for done in 0..SECTION {
            if let Err(stop) = self.step() {
                return (done, Some(stop));
            }
        }
        (SECTION, None)
    }

    /// One instruction; one that is stopped has changed nothing.
    #[inline(always)]
    unsafe fn step(&mut self) -> Result<(), Stop> {
        let word = (self.host(self.pc, 4, TLB_CODE)? as *const u32).read_volatile();
        let rd = (word >> 7 & 31) as usize;
        let a = self.x[(word >> 15 & 31) as usize];
        let b = self.x[(word >> 20 & 31) as usize];
        let f3 = word >> 12 & 7;
        let imm_i = (word as i32 >> 20) as u32;
        let mut next = self.pc.wrapping_add(4);
        match word & 0x7f {
            0x13 => self.x[rd] = operate(f3, a, imm_i, f3 == 5 && word >> 30 & 1 != 0),
            0x33 if word & 0xbe00_0000 == 0 => self.x[rd] = operate(f3, a, b, word >> 30 != 0),
            0x03 => self.x[rd] = self.load(f3, a.wrapping_add(imm_i))?,
            0x23 => self.store(f3, a.wrapping_add(imm_i & !31 | rd as u32), b)?,
            0x63 => {
                if branches(f3, a, b)? {
                    next = self.pc.wrapping_add(branch_offset(word));
                }
            }
            0x6f => {
                self.x[rd] = next;
                next = self.pc.wrapping_add(jump_offset(word));
            }
            0x67 => {
                self.x[rd] = next;
                next = a.wrapping_add(imm_i) & !1;
            }
            0x37 => self.x[rd] = word & !0xfff,
            0x17 => self.x[rd] = self.pc.wrapping_add(word & !0xfff),
            0x0f => fence(Ordering::SeqCst),
            0x73 => return Err(Stop::Ecall),
            _ => return Err(Stop::Illegal),
        }
        self.x[0] = 0;
        self.pc = next;
        Ok(())
    }

    #[inline(always)]
    unsafe fn load(&self, f3: u32, gpa: u32) -> Result<u32, Stop> {
        let bytes = 1 << (f3 & 3);
        if f3 & 3 == 3 || f3 > 5 {
            return Err(Stop::Illegal);
        }
        let at = self.host(gpa, bytes, TLB_READ)?;
        Ok(match f3 {
            0 => (at as *const i8).read_volatile() as u32,
            1 => (at as *const i16).read_volatile() as u32,
            2 => (at as *const u32).read_volatile(),
            4 => u32::from(at.read_volatile()),
            _ => u32::from((at as *const u16).read_volatile()),
        })
    }

    #[inline(always)]
    unsafe fn store(&self, f3: u32, gpa: u32, value: u32) -> Result<(), Stop> {
        if f3 > 2 {
            return Err(Stop::Illegal);
        }
        let at = self.host(gpa, 1 << f3, TLB_WRITE)?;
        match f3 {
            0 => at.write_volatile(value as u8),
            1 => (at as *mut u16).write_volatile(value as u16),
            _ => (at as *mut u32).write_volatile(value),
        }
        Ok(())
    }

    /// The bytes behind a guest address: by the TLB's probe, which is inlined here, or by the call for its misses.
    #[inline(always)]
    unsafe fn host(&self, gpa: u32, bytes: u32, access: u32) -> Result<*mut u8, Stop> {
        match memslots::probe_tlb(self.tlb, u64::from(gpa), bytes, access) {
            Some(hva) => Ok(hva as usize as *mut u8),
            None => self.host_on_miss(gpa, bytes, access),
        }
    }

    #[inline(never)]
    unsafe fn host_on_miss(&self, gpa: u32, bytes: u32, access: u32) -> Result<*mut u8, Stop> {
        if gpa & (bytes - 1) != 0 {
            return Err(Stop::Fault);
        }
        let hva = memslots::fill_tlb(self.reader, f64::from(gpa), access);
        if hva < 0.0 {
            return Err(Stop::Fault);
        }
        Ok(hva as usize as *mut u8)
    }
}

/// OP and OP-IMM; `other` asks for SUB and SRA.
#[inline(always)]
fn operate(f3: u32, a: u32, b: u32, other: bool) -> u32 {
    match f3 {
        0 if other => a.wrapping_sub(b),
        0 => a.wrapping_add(b),
        1 => a.wrapping_shl(b),
        2 => u32::from((a as i32) < b as i32),
        3 => u32::from(a < b),
        4 => a ^ b,
        5 if other => (a as i32).wrapping_shr(b) as u32,
        5 => a.wrapping_shr(b),
        6 => a | b,
        _ => a & b,
    }
}

#[inline(always)]
fn branches(f3: u32, a: u32, b: u32) -> Result<bool, Stop> {
    let holds = match f3 >> 1 {
        0 => a == b,
        2 => (a as i32) < b as i32,
        3 => a < b,
        _ => return Err(Stop::Illegal),
    };
    Ok(holds != (f3 & 1 != 0))
}

fn branch_offset(word: u32) -> u32 {
    let sign = (word as i32 >> 31) as u32;
    sign << 12 | (word & 0x80) << 4 | word >> 20 & 0x7e0 | word >> 7 & 0x1e
}

fn jump_offset(word: u32) -> u32 {
    let sign = (word as i32 >> 31) as u32;
    sign << 20 | word & 0xf_f000 | word >> 9 & 0x800 | word >> 20 & 0x7fe
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
