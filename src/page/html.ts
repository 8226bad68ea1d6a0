import type { ComponentChild } from 'preact';

/** Markup as a tagged template. What is put into it becomes text or attributes, never markup. */
export { html } from 'htm/preact';

export type Child = ComponentChild;
