import { defineConfig } from "vitest/config";

export default defineConfig({
  base: "./",
  build: { target: "es2022", chunkSizeWarningLimit: 4000, assetsInlineLimit: 0, rolldownOptions: { input: ["index.html", "docs.html"] }, modulePreload: { polyfill: false }, reportCompressedSize: false },
  test: { include: ["tests/**/*.test.ts"] },
  // `npm run dev` beside a running `brats-mm serve`; the vocabulary of sequence names lies in the library
  server: { fs: { allow: ["../.."] }, proxy: { "/v1": "http://127.0.0.1:8000" } },
});
