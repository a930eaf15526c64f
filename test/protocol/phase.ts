/** What a writer looks at the pins for. */
export const PHASE = {
  /** Recycle what can be recycled, and do not wait. */
  reclaim: 0,
  /** No root block or chunk is free: wait until one is. */
  spare: 1,
  /** The commit's own grace period. */
  grace: 2,
  /** A section of its own holds the oldest root; the others still have to leave the replaced ones. */
  others: 3,
  /** After a death: nobody may be in any layout but the published one. */
  recovery: 4,
  /** Nobody may be in any layout. */
  gate: 5,
  /** Not at all: the operation fails. */
  refused: 6,
  /** Only without the rule "look after publish". */
  early: 7,
} as const;

export type Phase = (typeof PHASE)[keyof typeof PHASE];
