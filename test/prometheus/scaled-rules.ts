/** A number of a rule that is a time of the script, and what stands in its place. */
export type ScaledNumber = { readonly alert: string; readonly from: string; readonly to: string };

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * A rule file in which the times of `for:` and of ranges pass `factor` times as fast; a text in quotes stays.
 * Thresholds stay too, but for those of `numbers`. Throws for a number that its alert does not have, and
 * where a time becomes less than a millisecond.
 */
export function scaledRules(text: string, factor: number, numbers: readonly ScaledNumber[] = []): string {
  const scaled = text
    .replaceAll(/^(\s+for: )(\S+)$/gm, (_all, head: string, time: string) => head + faster(time, factor))
    .replaceAll(/"(?:[^"\\]|\\.)*"|\[(\w+)\]/g, (all, range: string | undefined) =>
      range === undefined ? all : `[${faster(range, factor)}]`,
    );
  return numbers.reduce(withNumber, scaled);
}

/** A duration of Prometheus, so many times shorter. */
function faster(duration: string, factor: number): string {
  const match = /^(\d+)(ms|[smhd])$/.exec(duration);
  if (match === null) throw new Error(`not a duration: ${duration}`);
  const ms = (Number(match[1]) * UNIT_MS[match[2]!]!) / factor;
  if (ms !== 0 && ms < 1) throw new Error(`${duration} passes too fast`);
  return ms % 1_000 === 0 ? `${ms / 1_000}s` : `${Math.round(ms)}ms`;
}

function withNumber(text: string, { alert, from, to }: ScaledNumber): string {
  const start = text.indexOf(`- alert: ${alert}\n`);
  const at = text.indexOf('expr:', start);
  const end = text.indexOf('for:', at);
  const found = text.slice(at, end).indexOf(from);
  if (start < 0 || found < 0) throw new Error(`${alert} has no ${from}`);
  return text.slice(0, at + found) + to + text.slice(at + found + from.length);
}

/** The names of the alerts of a rule file. */
export function alertsOf(text: string): readonly string[] {
  return [...text.matchAll(/^\s+- alert: (\w+)$/gm)].map((match) => match[1]!);
}
