/** The default theme in the reader's own fonts: the site asks nobody else for anything. */
import "./diagrams.css";

export { default } from "vitepress/theme-without-fonts";
