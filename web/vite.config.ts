import { defineConfig } from "vite";

// The server knows two assets by name, so the names carry no hash, and everything is addressed
// relative to the page: the dashboard works behind any prefix of a proxy.
export default defineConfig({
  base: "./",
  build: {
    // Embedded by the observer's crate, so that a build of the package needs no Node.
    outDir: "../crates/oxidask-observe/assets",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    sourcemap: false,
    rollupOptions: {
      output: {
        entryFileNames: "assets/app.js",
        assetFileNames: "assets/app.[ext]",
        codeSplitting: false,
      },
    },
  },
});
