import type { EventEmitter } from 'node:events';
import type { Line, Style, ViewSize } from '../daemon/demo-view.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** Standard output, or what stands for it. */
export type Output = Pick<EventEmitter, 'on' | 'off'> & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
};

const CODES: Readonly<Record<Style, number>> = {
  bold: 1,
  dim: 2,
  red: 31,
  green: 32,
  yellow: 33,
  cyan: 36,
};
const DEFAULT_SIZE: ViewSize = { columns: 80, rows: 24 };
/** The other buffer of the terminal, no cursor, no wrapping: what was there before comes back at the end. */
const ENTER = '\u001b[?1049h\u001b[?25l\u001b[?7l';
const LEAVE = '\u001b[?7h\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR = '\u001b[2J';
const CLEAR_LINE = '\u001b[2K';
const CLEAR_BELOW = '\u001b[J';

/** NO_COLOR wins, then FORCE_COLOR; else a terminal has colours unless it is a dumb one. */
export function usesColour(out: Pick<Output, 'isTTY'>, env: Env): boolean {
  if ((env['NO_COLOR'] ?? '') !== '') return false;
  const forced = env['FORCE_COLOR'];
  if (forced !== undefined) return forced !== '0' && forced !== 'false';
  return out.isTTY === true && env['TERM'] !== 'dumb';
}

/** A line as text, with colours or without. */
export function paint(line: Line, hasColour: boolean): string {
  return line
    .map(({ text, style }) =>
      hasColour && style !== undefined && text !== '' ? `\u001b[${CODES[style]}m${text}\u001b[0m` : text,
    )
    .join('');
}

/** A view that fills a terminal of any size, is drawn anew when that changes, and leaves nothing behind. */
export class Screen<View> {
  readonly #out: Output;
  readonly #hasColour: boolean;
  readonly #render: (view: View, size: ViewSize) => readonly Line[];
  readonly #onResize = (): void => this.#draw(CLEAR);
  readonly #onExit = (): void => this.end();
  #view: View | undefined;
  #isOpen = false;

  constructor(
    out: Output,
    options: { readonly env: Env; readonly render: (view: View, size: ViewSize) => readonly Line[] },
  ) {
    this.#out = out;
    this.#hasColour = usesColour(out, options.env);
    this.#render = options.render;
  }

  show(view: View): void {
    this.#view = view;
    if (!this.#isOpen) {
      this.#isOpen = true;
      this.#out.on('resize', this.#onResize);
      process.on('exit', this.#onExit);
      this.#out.write(ENTER);
    }
    this.#draw('');
  }

  /** The terminal is as it was before. */
  end(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#out.off('resize', this.#onResize);
    process.off('exit', this.#onExit);
    this.#out.write(LEAVE);
  }

  #draw(clear: string): void {
    if (this.#view === undefined) return;
    const { columns = DEFAULT_SIZE.columns, rows = DEFAULT_SIZE.rows } = this.#out;
    const size = columns > 0 && rows > 0 ? { columns, rows } : DEFAULT_SIZE;
    const lines = this.#render(this.#view, size).map((line) => paint(line, this.#hasColour));
    const rest = lines.length < size.rows ? `\r\n${CLEAR_BELOW}` : '';
    const text = lines.map((line) => CLEAR_LINE + line).join('\r\n');
    this.#out.write(`${clear}${HOME}${text}${rest}`);
  }
}
