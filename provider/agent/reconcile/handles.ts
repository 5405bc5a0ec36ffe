/** Descriptors of one verb: whatever was opened is closed at its end, also after an error. */
export class Handles {
  #open: { close(): void }[] = [];

  keep<T extends { close(): void }>(handle: T): T {
    this.#open.push(handle);
    return handle;
  }

  close(): void {
    for (const handle of this.#open.splice(0).reverse()) handle.close();
  }
}

/** Runs `work` and closes all that it kept. */
export async function withHandles<T>(work: (handles: Handles) => Promise<T> | T): Promise<T> {
  const handles = new Handles();
  try {
    return await work(handles);
  } finally {
    handles.close();
  }
}
