/** What repeats with the same reason is logged once: again when the reason changes, or after a success in between. */
export class OncePerReason {
  readonly #last = new Map<string, string>();

  /** Whether `subject` had another reason before, or none. */
  isNew(subject: string, reason: string): boolean {
    if (this.#last.get(subject) === reason) return false;
    this.#last.set(subject, reason);
    return true;
  }

  /** It succeeded, or is gone. */
  clear(subject: string): void {
    this.#last.delete(subject);
  }
}
