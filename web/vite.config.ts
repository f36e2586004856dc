import { defineConfig } from "vite";

// The server knows two assets by name, so the names carry no hash, and everything is addressed
// relative to the page: the dashboard works behind any prefix of a proxy.
export default defineConfig({
  base: "./",
  build: {
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
