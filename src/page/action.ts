import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, act, keepToken, token } from './api.ts';
import { words } from './format.ts';
import { type Child, html } from './html.ts';

/** Something that moves money or miners: shown before it is done, and done only once it was typed. */
export type ActionSpec = {
  /** Below `/api/v1/`. */
  readonly path: string;
  readonly title: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** What it does, in words. */
  readonly says: Child;
  /** The daemon can say what it would do. */
  readonly hasPreview?: boolean;
  /** What is typed to confirm it. */
  readonly phrase: string;
  readonly isDangerous?: boolean;
};

type Outcome = { readonly done: Readonly<Record<string, unknown>> } | { readonly error: ApiError };

/** A button that opens the question whether it is meant. */
export function ActionButton({
  spec,
  onDone,
}: {
  spec: ActionSpec;
  onDone: (answer: Readonly<Record<string, unknown>>) => void;
}) {
  const [isOpen, setOpen] = useState(false);
  return html`<button type="button" class=${spec.isDangerous === true ? 'danger' : ''}
      onClick=${() => setOpen(true)}>${spec.title}</button>
    ${isOpen && html`<${Question} spec=${spec} onDone=${onDone} close=${() => setOpen(false)} />`}`;
}

function Question({
  spec,
  onDone,
  close,
}: {
  spec: ActionSpec;
  onDone: (answer: Readonly<Record<string, unknown>>) => void;
  close: () => void;
}) {
  const box = useRef<HTMLDialogElement>(null);
  const [held, setHeld] = useState(token() ?? '');
  const [typed, setTyped] = useState('');
  const [preview, setPreview] = useState<Outcome | undefined>(undefined);
  const [outcome, setOutcome] = useState<Outcome | undefined>(undefined);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => box.current?.showModal(), []);
  const run = async (body: object, tell: (outcome: Outcome) => void): Promise<void> => {
    setBusy(true);
    keepToken(held.trim());
    try {
      tell({ done: await act(`/${spec.path}`, body) });
    } catch (error) {
      const told = error instanceof ApiError ? error : new ApiError(0, 'page', String(error), '');
      tell({ error: told });
    }
    setBusy(false);
  };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (typed !== spec.phrase || isBusy) return;
    await run(spec.body, (result) => {
      setOutcome(result);
      if ('done' in result) onDone(result.done);
    });
  };
  const isDone = outcome !== undefined && 'done' in outcome;
  return html`<dialog ref=${box} class="question" aria-labelledby="question-title" onClose=${close}>
    <form onSubmit=${(event: Event) => void submit(event)}>
      <h2 id="question-title">${spec.title}</h2>
      <div>${spec.says}</div>
      ${
        !isDone &&
        html`<label>Token <small>(the text of <code>api-token</code> in the data folder)</small>
          <input type="password" autocomplete="off" value=${held} onInput=${into(setHeld)} /></label>
          ${
            spec.hasPreview === true &&
            html`<button type="button" disabled=${isBusy || held.trim() === ''}
              onClick=${() => void run({ ...spec.body, dry_run: true }, setPreview)}>Show what it would do</button>`
          }
          ${preview !== undefined && html`<${Told} outcome=${preview} />`}
          <label>Type <code>${spec.phrase}</code> to confirm
            <input autocomplete="off" spellcheck=${false} value=${typed} onInput=${into(setTyped)} /></label>`
      }
      ${outcome !== undefined && html`<${Told} outcome=${outcome} />`}
      <div class="line">
        ${
          !isDone &&
          html`<button type="submit" disabled=${isBusy || typed !== spec.phrase || held.trim() === ''}>
            ${isBusy ? 'asking…' : spec.title}</button>`
        }
        <button type="button" onClick=${() => box.current?.close()}>${isDone ? 'Close' : 'Leave it'}</button>
      </div>
    </form>
  </dialog>`;
}

function into(set: (value: string) => void): (event: InputEvent) => void {
  return (event) => set((event.currentTarget as HTMLInputElement).value);
}

/** What the daemon answered, as names and values. */
function Told({ outcome }: { outcome: Outcome }) {
  if ('error' in outcome)
    return html`<p class="bad" role="alert">${outcome.error.message}<br /><small>${outcome.error.hint}</small></p>`;
  return html`<dl class="told" role="status">
    ${Object.entries(outcome.done).map(
      ([name, value]) => html`<div><dt>${words(name)}</dt>
        <dd><code>${typeof value === 'string' ? value : JSON.stringify(value)}</code></dd></div>`,
    )}
  </dl>`;
}
