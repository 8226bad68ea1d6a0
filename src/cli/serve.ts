import { backoffMs } from '../base/backoff.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { systemTimers } from '../base/system-timers.ts';
import type { ProxyConfig, Role } from '../config/config.ts';
import type { ConfigInForce } from '../config/in-force.ts';
import type { ConfigInput, ConfigOf } from '../config/load.ts';
import { describeProblem } from '../config/problems.ts';
import { isTaken, startStandby } from '../daemon/standby.ts';
import { createLogger, type RootLogger } from '../log/pino-logger.ts';
import { checkedConfig, configInForce } from './checked-config.ts';
import type { CommandIo, OptionSpec, ParsedOptions } from './command.ts';
import { endProcess } from './end-process.ts';

/** A running daemon, as the process sees it. */
export type Daemon = {
  /** Answered on standard output when everything listens. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** Stops in reverse order of start; resolves when the ledger is closed. */
  close(): Promise<void>;
  /** Reads its configuration anew. Throws coded errors, and then nothing has changed. */
  readonly reload?: { run(): unknown };
  /** Resolves when it can no longer do its work and could after a new start. */
  readonly renewal?: Promise<void>;
  /** It waits for its turn, which it takes at once. */
  readonly isStandby?: boolean;
};

/** Between new starts in one process; a fault that comes again at once is given time. */
const RENEW = { baseMs: 1_000, maxMs: 600_000 };
/** A daemon that ran for so long had no part in the fault before. */
const RENEWED_MS = 3_600_000;

/**
 * An orderly stop takes a second; past this the process ends anyway, and the ledger recovers at the next
 * start.
 */
const STOP_DEADLINE_MS = 20_000;

/** Of the last lines of the log, for whoever reads them. */
const LOG_PATIENCE_MS = 1_000;

export const SERVE_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  config: { type: 'string', value: 'FILE', help: 'configuration (TOML)' },
  pretty: { type: 'boolean', help: 'readable log lines instead of JSON' },
  'with-parent': {
    type: 'boolean',
    help: 'stop when standard input ends, as when the parent process dies',
  },
};

/**
 * Runs a daemon until SIGINT or SIGTERM; a second signal ends the process at once. Resolves to the exit
 * code.
 */
export async function serve<R extends Role>(
  role: R,
  options: ParsedOptions,
  io: CommandIo,
  start: (config: ConfigOf<R>, log: RootLogger, source: ConfigInForce<R>) => Promise<Daemon>,
): Promise<number> {
  const file = options.text('config') ?? io.env['SHARESTREAM_CONFIG'];
  const input: ConfigInput = {
    ...(file === undefined ? {} : { file }),
    ...{ env: io.env, flags: options.settings },
  };
  const { config, warnings, facts } = checkedConfig(role, input);
  const source = configInForce(role, input);
  let isSaid = false;
  let daemon: Daemon | undefined;
  return runDaemon(config.log.level, options, io, async (log) => {
    process.removeAllListeners('SIGHUP').on('SIGHUP', () => reload(daemon, log));
    if (!isSaid) {
      for (const { path, text } of facts) log.info({ option: path, text }, 'configured');
      for (const warning of warnings) log.warn({ option: warning.path }, describeProblem(warning));
    }
    isSaid = true;
    daemon = undefined;
    daemon = await start(source.config, log, source).catch((error: unknown) => {
      if (!isTaken(error, source.config.ledger)) throw error;
      return startStandby(role, source.config, log);
    });
    return daemon;
  });
}

/** Runs what was started until a signal, as `serve`. */
export async function runDaemon(
  level: ProxyConfig['log']['level'],
  options: ParsedOptions,
  io: CommandIo,
  start: (log: RootLogger) => Promise<Daemon>,
): Promise<number> {
  const log = createLogger({
    level,
    output: options.flag('json') ? 'stderr' : 'stdout',
    pretty: options.flag('pretty'),
  });
  // Nobody reads any more what it says; its miners go on.
  io.stdout.removeAllListeners('error').on('error', () => {});
  const die = (error: unknown): void => {
    log.error({ code: codeOf(error), err: error }, 'fatal');
    log.flush();
    endProcess(1);
  };
  process.on('uncaughtException', die).on('unhandledRejection', die);
  const stop = async (daemon: Daemon): Promise<void> => {
    const deadline = systemTimers.after(STOP_DEADLINE_MS, () => die(new CodedError('stop_timeout')));
    await daemon.close().finally(() => deadline.cancel());
  };
  try {
    // Miners are served before a start has ended.
    const stopped = stopSignal(options.flag('with-parent'));
    for (let attempt = 0; ; attempt += 1) {
      const startMs = systemClock.monotonicMs();
      const daemon = await start(log);
      log.info({ ...daemon.ready, pid: process.pid }, 'ready');
      if (options.flag('json'))
        io.stdout.write(`${JSON.stringify({ pid: process.pid, ...daemon.ready })}\n`);
      const renewed = daemon.renewal?.then(async () => {
        const { isStandby = false } = daemon;
        if (isStandby || systemClock.monotonicMs() - startMs > RENEWED_MS) attempt = 0;
        if (!isStandby) await sleep(systemTimers, backoffMs(RENEW, attempt, systemRandom));
      });
      const signal = await Promise.race([stopped, ...(renewed === undefined ? [] : [renewed])]);
      log.info({ signal: signal ?? null }, signal === undefined ? 'starting anew' : 'stopping');
      await stop(daemon);
      if (signal === undefined) continue;
      log.info({}, 'stopped');
      return 0;
    }
  } finally {
    process.stdin.destroy();
    await log.drain(LOG_PATIENCE_MS);
  }
}

/** As SIGHUP asks; one that is not up yet goes by what it is started with. */
function reload(daemon: Daemon | undefined, log: RootLogger): void {
  try {
    daemon?.reload?.run();
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    log.error(
      { code: error.code, detail: error.message },
      'the configuration was not read anew: all is as before',
    );
  }
}

/**
 * Resolves to the signal that asks for a stop, or `stdin` where the parent is gone. A second signal ends the
 * process at once.
 */
export function stopSignal(withParent: boolean): Promise<string> {
  return new Promise((resolve) => {
    const stop = (signal: string): void => {
      resolve(signal);
      process.removeAllListeners('SIGINT').removeAllListeners('SIGTERM');
      process.once('SIGINT', () => endProcess(1)).once('SIGTERM', () => endProcess(1));
    };
    process.once('SIGINT', stop).once('SIGTERM', stop);
    if (withParent) process.stdin.once('end', () => stop('stdin')).resume();
  });
}
