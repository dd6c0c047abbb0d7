interface Package {
  readonly integrity?: string
  readonly inBundle?: boolean
  readonly link?: boolean
  readonly optional?: boolean
}

export declare const withoutDigest: (lock: {
  readonly packages: Readonly<Record<string, Package>>
}) => ReadonlyArray<string>
