import type { ReplyFaults } from '../../src/devnet/net/reply-faults.ts';
import { seededRandom } from '../../src/devnet/net/seeded-random.ts';
import type { Logger } from '../../src/log/logger.ts';

/** What can go wrong with a node or a pool. */
export type FaultKind =
  /** Its ports close and open again: connections, sessions and jobs are lost. */
  | 'restart'
  /** All its connections are dropped. */
  | 'drop'
  /** New connections are dropped for a while, as in the initial block download; and all those there are. */
  | 'ibd'
  /** Answers come late for a while. */
  | 'slow'
  /** Nothing is read or answered for a while. */
  | 'silent'
  /** Some answers are missing for a while. */
  | 'missing'
  /** Some answers come twice for a while. */
  | 'duplicate';

export type FaultOptions = {
  readonly seed: number;
  /** Mean number of each, per minute and target. Default 0. */
  readonly restartsPerMinute?: number;
  readonly dropsPerMinute?: number;
  readonly ibdPerMinute?: number;
  readonly slowPerMinute?: number;
  readonly silentPerMinute?: number;
  readonly missingPerMinute?: number;
  readonly duplicatePerMinute?: number;
  /** How long a restart takes. Default 50 to 1000. */
  readonly downMs?: readonly [least: number, most: number];
  /** How long a spell of the others lasts. Default 500 to 3000. */
  readonly spellMs?: readonly [least: number, most: number];
  /** How late slow answers are. Default 100 to 1000. */
  readonly slowMs?: readonly [least: number, most: number];
  /** The share of answers concerned in a spell of missing or duplicate ones. Default 0.1 to 0.9. */
  readonly share?: readonly [least: number, most: number];
};

/** A simulated node or pool: both are. */
export type FaultTarget = {
  readonly name: string;
  readonly faults: ReplyFaults;
  restart(downMs: number): Promise<void>;
  disconnectAll(): void;
};

export type FaultEvent = {
  /** After the start. */
  readonly atMs: number;
  /** Position in the list of targets. */
  readonly target: number;
  readonly kind: FaultKind;
  readonly forMs: number;
  /** Milliseconds of `slow`, the share of `missing` and `duplicate`, otherwise 0. */
  readonly amount: number;
};

export type FaultSchedule = {
  readonly seed: number;
  /** What was played so far. */
  readonly events: readonly FaultEvent[];
  /** Plays no more, and resolves when all targets are well again. */
  stop(): Promise<void>;
};

const KINDS: readonly (readonly [FaultKind, keyof FaultOptions])[] = [
  ['restart', 'restartsPerMinute'],
  ['drop', 'dropsPerMinute'],
  ['ibd', 'ibdPerMinute'],
  ['slow', 'slowPerMinute'],
  ['silent', 'silentPerMinute'],
  ['missing', 'missingPerMinute'],
  ['duplicate', 'duplicatePerMinute'],
];

/** The faults of a seed, without end and in the order of their times: the same seed gives the same ones. */
export function* faultPlan(options: FaultOptions, targets: number): Generator<FaultEvent> {
  const random = seededRandom(options.seed);
  const between = ([least, most]: readonly [number, number]): number => least + random() * (most - least);
  const { downMs = [50, 1000], spellMs = [500, 3000], slowMs = [100, 1000], share = [0.1, 0.9] } = options;
  const rates = KINDS.map(([kind, name]) => ({ kind, perMinute: Number(options[name] ?? 0) }));
  const total = rates.reduce((sum, { perMinute }) => sum + perMinute, 0);
  if (total <= 0 || targets === 0) return;
  const meanGapMs = 60_000 / (total * targets);
  for (let atMs = 0; ; ) {
    atMs += -Math.log(1 - random()) * meanGapMs;
    const target = Math.floor(random() * targets);
    const kind = pick(rates, random() * total);
    const forMs = kind === 'drop' ? 0 : Math.round(between(kind === 'restart' ? downMs : spellMs));
    const isShare = kind === 'missing' || kind === 'duplicate';
    const amount = kind === 'slow' ? Math.round(between(slowMs)) : isShare ? between(share) : 0;
    yield { atMs: Math.round(atMs), target, kind, forMs, amount };
  }
}

function pick(
  rates: readonly { readonly kind: FaultKind; readonly perMinute: number }[],
  at: number,
): FaultKind {
  let below = 0;
  for (const { kind, perMinute } of rates) {
    below += perMinute;
    if (at < below) return kind;
  }
  return 'drop';
}

function printToStderr(line: string): void {
  process.stderr.write(`${line}\n`);
}

/**
 * Plays the faults of a seed on simulated nodes and pools until it is stopped. The seed is printed, so that
 * a run that failed can be repeated.
 * @param deps.print default: one line to the standard error output
 */
export function startFaults(
  options: FaultOptions,
  targets: readonly FaultTarget[],
  deps: { readonly log: Logger; readonly print?: (line: string) => void },
): FaultSchedule {
  const names = targets.map(({ name }) => name).join(', ');
  (deps.print ?? printToStderr)(`fault schedule: seed ${options.seed}, targets ${names}`);
  const plan = faultPlan(options, targets.length);
  const startedAtMs = performance.now();
  const events: FaultEvent[] = [];
  const busy = new Set<Promise<void>>();
  const spells = new Map<string, Spell>();
  let timer: NodeJS.Timeout | undefined;

  function arm(): void {
    const next = plan.next();
    if (next.done === true) return;
    const run = (): void => {
      play(next.value);
      arm();
    };
    timer = setTimeout(run, Math.max(0, next.value.atMs - (performance.now() - startedAtMs)));
  }

  function play(event: FaultEvent): void {
    const target = targets[event.target]!;
    events.push(event);
    deps.log.info({ ...event, target: target.name }, 'fault played');
    if (event.kind === 'restart') {
      const key = `${event.target} restart`;
      if (spells.has(key)) return;
      spells.set(key, { end: () => {}, timer: undefined });
      const back = target.restart(event.forMs).finally(() => {
        spells.delete(key);
        busy.delete(back);
      });
      busy.add(back);
    } else if (event.kind === 'drop') {
      target.disconnectAll();
    } else {
      begin(event, target);
    }
  }

  /** A spell that begins while one of its kind lasts takes its place. */
  function begin(event: FaultEvent, target: FaultTarget): void {
    const key = `${event.target} ${event.kind}`;
    const end = switchOn(event, target);
    clearTimeout(spells.get(key)?.timer);
    const over = (): void => {
      spells.delete(key);
      end();
    };
    spells.set(key, { end, timer: setTimeout(over, event.forMs) });
  }

  arm();
  return {
    seed: options.seed,
    events,
    stop: async () => {
      clearTimeout(timer);
      for (const { timer: over } of spells.values()) clearTimeout(over);
      for (const { end } of spells.values()) end();
      spells.clear();
      await Promise.all(busy);
    },
  };
}

type Spell = { readonly end: () => void; readonly timer: NodeJS.Timeout | undefined };

/** Returns what ends it. */
function switchOn({ kind, amount }: FaultEvent, target: FaultTarget): () => void {
  const { faults } = target;
  switch (kind) {
    case 'slow':
      faults.delayMs = amount;
      return () => {
        faults.delayMs = 0;
      };
    case 'missing':
    case 'duplicate':
      faults[kind] = amount;
      return () => {
        faults[kind] = 0;
      };
    case 'silent':
      faults.silent = true;
      return () => {
        faults.silent = false;
      };
    case 'ibd':
      faults.refusing = true;
      target.disconnectAll();
      return () => {
        faults.refusing = false;
      };
    case 'restart':
    case 'drop':
      return () => {};
  }
}
