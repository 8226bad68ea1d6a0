import type { ErrorCode } from '../../base/errors.ts';

/** Why a connection ended: a code of the table, or an ordinary end. */
export type CloseReason =
  | Extract<ErrorCode, 'line_too_long' | 'session_limit' | 'idle_timeout' | 'banned' | 'slow_reader'>
  | 'closed_by_miner'
  | 'socket_error'
  | 'not_stratum'
  /** The miner came back by another connection before this one was seen to be gone. */
  | 'resumed'
  /** It works on with other extranonces, of which its miner cannot be told. */
  | 'moved'
  /** Nothing that its miner sends can be kept: its own backup does better. */
  | 'let_go'
  | 'shutdown';
