import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { createLogger, type LogSink } from '../../src/log/pino-logger.ts';

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
