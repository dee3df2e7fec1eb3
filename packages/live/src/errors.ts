/** What serving fails with: towards the program, and towards a client. */

import { UmbufError } from '@umbuf/memory';

/** The server cannot listen; `code` is the system's (`EADDRINUSE`, `EACCES`, ...). */
export class ListenError extends UmbufError {
  override name = 'ListenError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Why a request is refused: what a client finds as `error.code` of the JSON body. */
export type RefusalCode =
  | 'bad-request'
  | 'not-found'
  | 'method-not-allowed'
  | 'target-too-long'
  | 'body-not-allowed'
  | 'host-not-allowed'
  | 'cross-site'
  | 'too-many-clients'
  | 'unknown-oid'
  | 'no-zones'
  | 'no-mbufs'
  | 'internal';

const STATUS: Readonly<Record<RefusalCode, number>> = {
  'bad-request': 400,
  'not-found': 404,
  'method-not-allowed': 405,
  'target-too-long': 414,
  'body-not-allowed': 413,
  'host-not-allowed': 421,
  'cross-site': 403,
  'too-many-clients': 503,
  'unknown-oid': 404,
  'no-zones': 404,
  'no-mbufs': 404,
  internal: 500,
};

/** A request that is answered with an error. Never leaves the server. */
export class Refusal extends UmbufError {
  override name = 'Refusal';
  readonly code: RefusalCode;
  readonly status: number;

  constructor(code: RefusalCode, message: string) {
    super(message);
    this.code = code;
    this.status = STATUS[code];
  }

  /** The body: `{ "error": { "code", "status", "message" } }`. */
  toJSON(): { readonly error: { readonly code: string; status: number; message: string } } {
    const { code, status, message } = this;
    return { error: { code, status, message } };
  }
}
