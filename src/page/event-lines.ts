export type ServerEvent = { readonly id: string; readonly event: string; readonly data: string };

/** The longest event that is taken, in characters. */
const CHARS_MOST = 1_000_000;

/** Cuts a stream of server-sent events into events, however its parts come. Comments are passed over. */
export class EventLines {
  #rest = '';

  /** Throws `RangeError` where an event has no end. */
  push(part: string): ServerEvent[] {
    const blocks = (this.#rest + part).split('\n\n');
    this.#rest = blocks.pop()!;
    if (this.#rest.length > CHARS_MOST) throw new RangeError('an event is too long');
    return blocks.flatMap((block) => {
      const fields = new Map(
        block
          .split('\n')
          .map((line) => /^(\w+): ?(.*)$/.exec(line))
          .filter((match) => match !== null)
          .map(([, name, value]) => [name!, value!]),
      );
      const data = fields.get('data');
      if (data === undefined) return [];
      return [{ id: fields.get('id') ?? '', event: fields.get('event') ?? 'message', data }];
    });
  }
}
