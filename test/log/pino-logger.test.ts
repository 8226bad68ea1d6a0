import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { CodedError, ERROR_TABLE } from '../../src/base/errors.ts';
import { limited } from '../../src/log/limited.ts';
import { createLogger, type LogSink } from '../../src/log/pino-logger.ts';
import { ManualClock } from '../base/manual-clock.ts';

function capture(): { lines: Record<string, unknown>[]; sink: LogSink; raw: string[] } {
  const lines: Record<string, unknown>[] = [];
  const raw: string[] = [];
  const sink: LogSink = {
    write: (line: string) => {
      raw.push(line);
      if (line.startsWith('{')) lines.push(JSON.parse(line) as Record<string, unknown>);
    },
  };
  return { lines, sink, raw };
}

describe('createLogger', () => {
  it('writes level words, ISO time and fields, and nothing below the level', () => {
    const { lines, sink } = capture();
    const log = createLogger({ level: 'info' }, { sink });
    log.debug({ a: 1 }, 'hidden');
    log.info({ sats: 12n, worker: 'a\nb' }, 'paid');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: 'info', msg: 'paid', sats: '12', worker: 'a\nb' });
    expect(lines[0]?.['time']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    log.setLevel('debug');
    log.debug({}, 'shown');
    expect(lines[1]).toMatchObject({ level: 'debug', msg: 'shown' });
  });

  it('redacts secrets at three depths, in children too', () => {
    const { raw, sink } = capture();
    const log = createLogger({ level: 'debug' }, { sink });
    log.info({ seed: 'S1', keys: { privateKey: 'S2' }, a: { b: { token: 'S3' } }, password: 'S4' }, 'one');
    log.child({ secret: 'S5', keys: { mnemonic: 'S6' } }).warn({ cookie: 'S7' }, 'two');
    expect(raw).toHaveLength(2);
    expect(raw.join('')).not.toMatch(/S[1-7]/);
    expect(raw.join('').match(/\[redacted\]/g)).toHaveLength(7);
  });

  it('logs an error with its code, a stack only for what nobody expected', () => {
    const { lines, sink } = capture();
    const log = createLogger({ level: 'debug' }, { sink }).child({ module: 'ledger' });
    log.error({ error: new CodedError('ledger_io', 'disk full') }, 'append failed');
    log.error({ error: new TypeError('boom') }, 'bug');
    expect(lines[0]).toMatchObject({ code: 'ledger_io', module: 'ledger' });
    expect(lines[0]?.['error']).toMatchObject({ message: 'ledger_io: disk full' });
    expect(lines[0]?.['error']).not.toHaveProperty('stack');
    expect(lines[1]).toMatchObject({ code: 'internal' });
    expect(lines[1]?.['error']).toHaveProperty('stack');
  });

  it('prints one readable line with pretty, control characters escaped', () => {
    const { raw, sink } = capture();
    createLogger({ level: 'info', pretty: true }, { sink }).warn(
      { worker: '\u001b[2Jx', target: 'pool:3333' },
      'odd',
    );
    expect(raw[0]).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} WARN {2}odd {2}worker="\\u001b\[2Jx" target=pool:3333\n$/,
    );
  });

  it('says what to do beside each code, and counts errors by their code, held back ones too', () => {
    const lines: string[] = [];
    const root = createLogger({ level: 'error' }, { sink: { write: (line) => void lines.push(line) } });
    const log = limited(root.child({ part: 'pool' }), 1000, new ManualClock());
    log.error({ code: 'upstream_timeout' }, 'pool closed');
    log.error({ code: 'upstream_timeout' }, 'pool closed');
    log.warn({ err: new CodedError('ledger_io', 'no space') }, 'below the level');
    root.error({ code: 'overload', hint: 'its own' }, 'too much');
    root.error({ err: new TypeError('a fault of ours') }, 'fault');
    root.error({ code: 'ENOSPC' }, 'of the system');
    root.error({ n: 1 }, 'without a code');
    expect(root.stats.errors).toEqual({ upstream_timeout: 2, ledger_io: 1, overload: 1, internal: 2 });
    const hints = lines.map((line) => (JSON.parse(line) as { hint?: string }).hint);
    expect(hints).toEqual([ERROR_TABLE.upstream_timeout.hint, 'its own', ...Array(3).fill(undefined)]);
  });

  it('keeps every line when the process flushes and exits at once', () => {
    const module = new URL('../../src/log/pino-logger.ts', import.meta.url).href;
    const program = `
      const { createLogger } = await import(${JSON.stringify(module)});
      const log = createLogger({ level: 'info' });
      for (let i = 0; i < 500; i += 1) log.info({ i }, 'line');
      log.flush();
      process.exit(0);`;
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
    });
    expect(out.trim().split('\n')).toHaveLength(500);
  });
});
