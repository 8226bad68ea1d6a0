import { until } from '../e2e/evidence.ts';
import type { Prometheus } from './prometheus.ts';

/** An alert at an instance; of one about no instance the second is empty. */
export type Fact = readonly [alert: string, instance: string];

export type Scene = {
  /** What happens. */
  readonly name: string;
  readonly fires: readonly Fact[];
  /** What may follow from it, and need not. */
  readonly mayFire?: readonly Fact[];
  readonly cause: () => unknown;
  /** What the runbook says to do. */
  readonly step: string;
  /** Does it; without it all of it lasts to the end of the day. */
  readonly mend?: () => unknown;
};

/** A row of the table of the day. */
export type Row = {
  readonly alert: string;
  readonly instance: string;
  readonly scene: string;
  /** After the cause. */
  readonly firedAfterSeconds: number;
  readonly step: string;
  /** After the step; undefined where it lasts. */
  readonly overAfterSeconds: number | undefined;
};

type Window = { readonly facts: ReadonlySet<string>; readonly fromMs: number; toMs: number };

/** More than the slowest machine takes. */
const PATIENCE_MS = 240_000;
/** A sample of an evaluation is as old as the evaluation is long. */
const EVALUATION_MS = 2_000;
/** A rate over ten minutes, for ten minutes: so long after its end something may still fire. */
const AFTERMATH_MS = 25_000;
const FIRING = 'ALERTS{alertstate="firing"}';

const keyOf = ([alert, instance]: Fact): string => `${alert} ${instance}`.trim();

/** Plays scenes before a Prometheus, and keeps when which alert was meant to fire. */
export class Script {
  readonly rows: Row[] = [];
  readonly #prometheus: Prometheus;
  readonly #windows: Window[] = [];

  constructor(prometheus: Prometheus) {
    this.#prometheus = prometheus;
  }

  /** Resolves when its alerts have fired and, where it is mended, are over. */
  async play(scene: Scene): Promise<void> {
    const awaited = scene.fires.map(keyOf);
    const all = [...awaited, ...(scene.mayFire ?? []).map(keyOf)];
    const fromMs = Date.now();
    const window = { facts: new Set(awaited), fromMs, toMs: Number.POSITIVE_INFINITY };
    const aftermath = { ...window, facts: new Set(all) };
    this.#windows.push(window, aftermath);
    await scene.cause();
    const causedMs = Date.now();
    const fired = new Map<string, number>();
    // By what Prometheus recorded: one that fired for a moment, or while the cause took its time, has fired.
    await this.#until(
      () => `${scene.name}: ${awaited.filter((key) => !fired.has(key)).join(', ')} to fire`,
      (firing) => {
        for (const key of awaited)
          if (firing.has(key) && !fired.has(key)) fired.set(key, Date.now() - causedMs);
        return fired.size === awaited.length;
      },
      fromMs,
    );
    const { mend } = scene;
    const mendMs = Date.now();
    const over = new Map<string, number>();
    if (mend !== undefined) {
      await mend();
      const waiting = (firing: ReadonlySet<string>): string[] => all.filter((key) => firing.has(key));
      let left: string[] = all;
      await this.#until(
        () => `${scene.name}: ${left.join(', ')} to be over`,
        (firing) => {
          left = waiting(firing);
          for (const key of all) if (!firing.has(key) && !over.has(key)) over.set(key, Date.now() - mendMs);
          return left.length === 0;
        },
      );
      window.toMs = Date.now() + EVALUATION_MS;
      aftermath.toMs = window.toMs + AFTERMATH_MS;
    }
    for (const fact of scene.fires) {
      const [alert, instance] = fact;
      const overMs = over.get(keyOf(fact));
      this.rows.push({
        ...{ alert, instance, scene: scene.name, step: scene.step },
        firedAfterSeconds: Math.round(fired.get(keyOf(fact))! / 1000),
        overAfterSeconds: overMs === undefined ? undefined : Math.round(overMs / 1000),
      });
    }
  }

  /**
   * What fired when nothing of the script meant it, from one moment to another.
   * @param always alerts, or alerts with their instance, that may
   */
  async unmeant(fromMs: number, toMs: number, always: ReadonlySet<string>): Promise<readonly string[]> {
    const series = await this.#prometheus.queryRange(FIRING, fromMs, toMs);
    return series.flatMap(({ metric, values }) => {
      const { alertname = '', instance = '' } = metric;
      const key = keyOf([alertname, instance]);
      if (always.has(alertname) || always.has(key)) return [];
      const windows = this.#windows.filter(({ facts }) => facts.has(key));
      const odd = values
        .map(([seconds]) => seconds * 1000)
        .filter((atMs) => !windows.some((each) => atMs >= each.fromMs && atMs <= each.toMs));
      return odd.length === 0
        ? []
        : [`${key}: ${odd.length} samples from ${Math.round((odd[0]! - fromMs) / 1000)} s on`];
    });
  }

  /** @param fromMs has all that fired since then looked at, not only what does now */
  async #until(
    what: () => string,
    isSo: (firing: ReadonlySet<string>) => boolean,
    fromMs?: number,
  ): Promise<void> {
    const endMs = performance.now() + PATIENCE_MS;
    await until(
      'alerts',
      async () => {
        if (isSo(await this.#look(fromMs))) return true;
        if (performance.now() > endMs) throw new Error(`${what()} took longer than ${PATIENCE_MS} ms`);
        return undefined;
      },
      2 * PATIENCE_MS,
    );
  }

  async #look(fromMs: number | undefined): Promise<ReadonlySet<string>> {
    const seconds = fromMs === undefined ? 0 : Math.floor((Date.now() - fromMs) / 1000);
    const all = await this.#prometheus.query(
      seconds < 1 ? FIRING : `last_over_time(${FIRING}[${seconds}s])`,
    );
    return new Set(all.map(({ alertname = '', instance = '' }) => keyOf([alertname, instance])));
  }
}

/** As the note has it. */
export function tableOf(rows: readonly Row[]): string {
  const lines = rows.map(({ alert, instance, scene, firedAfterSeconds, step, overAfterSeconds }) => {
    const over = overAfterSeconds === undefined ? 'lasts' : `over after ${overAfterSeconds} s`;
    const at = instance === '' ? '' : ` (${instance})`;
    return `| ${alert}${at} | ${scene}: fired after ${firedAfterSeconds} s | ${step} | ${over} |`;
  });
  return ['| alert | fired | runbook step that mends it | done |', '|---|---|---|---|', ...lines].join(
    '\n',
  );
}
