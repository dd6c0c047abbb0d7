interface Metafile {
  readonly outputs: Readonly<Record<string, { readonly inputs: Readonly<Record<string, unknown>> }>>
}

export declare const notices: (root: string, metafiles: ReadonlyArray<Metafile>) => string
