#!/usr/bin/env node
export const version = "0"
