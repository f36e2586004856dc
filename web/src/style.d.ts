// Style sheets are imported for the build to find them; they have no content of their own.
declare module "*.css";
