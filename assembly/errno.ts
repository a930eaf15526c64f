/**
 * Error numbers of include/uapi/asm-generic/errno-base.h, negated as a kernel function returns them.
 * src/kvm/errno.ts gives them names and sentences.
 */

export const OK: i32 = 0;
export const ENOENT: i32 = -2;
export const EIO: i32 = -5;
export const ENXIO: i32 = -6;
export const E2BIG: i32 = -7;
export const EBADF: i32 = -9;
export const EAGAIN: i32 = -11;
export const ENOMEM: i32 = -12;
export const EFAULT: i32 = -14;
export const EBUSY: i32 = -16;
export const EEXIST: i32 = -17;
export const EINVAL: i32 = -22;
export const ETIMEDOUT: i32 = -110;
