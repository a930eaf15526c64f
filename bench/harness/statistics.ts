/**
 * Order statistics.
 */

/** The value below which the share `p` of the samples lies, interpolated. */
export function quantile(samples: readonly number[], p: number): number {
  const sorted = Float64Array.from(samples).sort();
  const at = (sorted.length - 1) * p;
  const low = Math.floor(at);
  return sorted[low]! + (at - low) * (sorted[Math.min(low + 1, sorted.length - 1)]! - sorted[low]!);
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/** Distance of the quartiles as a share of the median. */
export function quartileSpread(samples: readonly number[]): number {
  return (quantile(samples, 0.75) - quantile(samples, 0.25)) / median(samples);
}

/** Lower quartile, median, upper quartile. */
export function quartilesOf(samples: readonly number[]): [number, number, number] {
  return [quantile(samples, 0.25), median(samples), quantile(samples, 0.75)];
}
