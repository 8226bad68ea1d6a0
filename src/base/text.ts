/**
 * Controls, ends of lines and paragraphs, what turns the order of the text around it, byte order marks, and
 * halves of surrogate pairs. Joiners stay: scripts of India, Persian and emoji are written with them.
 */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u202a-\u202e\u2066-\u2069\ufeff]/gu;

/** A text of somebody else's without what could harm a log, a label or a page. */
export function printable(text: string, replacement = ''): string {
  return text.replace(UNPRINTABLE, replacement);
}
