/** Names of charsets as Python knows them, aliases and all. */

/** Python's name and its aliases. Text before the colon is the name. */
const ALIASES = `
utf_8: u8 utf utf8 utf8_ucs2 utf8_ucs4 cp65001
ascii: 646 ansi_x3.4_1968 ansi_x3_4_1968 ansi_x3.4_1986 cp367 csascii ibm367 iso646_us iso_646.irv_1991 iso_ir_6 us us_ascii
latin_1: 8859 cp819 csisolatin1 ibm819 iso8859 iso8859_1 iso_8859_1 iso_8859_1_1987 iso_ir_100 l1 latin latin1
utf_16: u16 utf16
utf_16_le: unicodelittleunmarked utf_16le
utf_16_be: unicodebigunmarked utf_16be
utf_32: u32 utf32
utf_32_le: utf_32le
utf_32_be: utf_32be
euc_kr: euckr korean ksc5601 ks_c_5601 ks_c_5601_1987 ksx1001 ks_x_1001 x_mac_korean
cp949: 949 ms949 uhc
shift_jis: csshiftjis shiftjis sjis s_jis x_mac_japanese
cp932: 932 ms932 mskanji ms_kanji
euc_jp: eucjp ujis u_jis
iso2022_jp: csiso2022jp iso2022jp iso_2022_jp
gb2312: chinese csiso58gb231280 euc_cn euccn eucgb2312_cn gb2312_1980 gb2312_80 iso_ir_58 x_mac_simp_chinese
gbk: 936 cp936 ms936
gb18030: gb18030_2000
big5: big5_tw csbig5 x_mac_trad_chinese
big5hkscs: big5_hkscs hkscs
cp950: 950 ms950
koi8_r: cskoi8r
cp866: 866 csibm866 ibm866
mac_roman: macintosh macroman
mac_cyrillic: maccyrillic
cp1250: 1250 windows_1250
cp1251: 1251 windows_1251
cp1252: 1252 windows_1252
cp1253: 1253 windows_1253
cp1254: 1254 windows_1254
cp1255: 1255 windows_1255
cp1256: 1256 windows_1256
cp1257: 1257 windows_1257
cp1258: 1258 windows_1258
tis_620: tis620 tis_620_0 tis_620_2529_0 tis_620_2529_1 iso_ir_166
iso8859_2: csisolatin2 iso_8859_2 iso_8859_2_1987 iso_ir_101 l2 latin2
iso8859_3: csisolatin3 iso_8859_3 iso_8859_3_1988 iso_ir_109 l3 latin3
iso8859_4: csisolatin4 iso_8859_4 iso_8859_4_1988 iso_ir_110 l4 latin4
iso8859_5: csisolatincyrillic cyrillic iso_8859_5 iso_8859_5_1988 iso_ir_144
iso8859_6: arabic asmo_708 csisolatinarabic ecma_114 iso_8859_6 iso_8859_6_1987 iso_ir_127
iso8859_7: csisolatingreek ecma_118 elot_928 greek greek8 iso_8859_7 iso_8859_7_1987 iso_ir_126
iso8859_8: csisolatinhebrew hebrew iso_8859_8 iso_8859_8_1988 iso_ir_138
iso8859_9: csisolatin5 iso_8859_9 iso_8859_9_1989 iso_ir_148 l5 latin5
iso8859_10: csisolatin6 iso_8859_10 iso_8859_10_1992 iso_ir_157 l6 latin6
iso8859_11: thai iso_8859_11 iso_8859_11_2001
iso8859_13: iso_8859_13 l7 latin7
iso8859_14: iso_8859_14 iso_8859_14_1998 iso_celtic iso_ir_199 l8 latin8
iso8859_15: iso_8859_15 l9 latin9
iso8859_16: iso_8859_16 iso_8859_16_2001 iso_ir_226 l10 latin10`;

const NAMES = new Map(
  ALIASES.trim()
    .split("\n")
    .flatMap((line) => {
      const [name = "", ...aliases] = line.split(/:? /);
      return aliases.map((alias) => [alias, name] as const);
    }),
);

/** Python's names whose tables Node has under another one; the rest of them follow from the name. */
const LABELS: Record<string, string> = {
  cp949: "euc-kr",
  cp932: "shift_jis",
  gb2312: "gbk",
  big5hkscs: "big5",
  cp950: "big5",
  iso2022_jp: "iso-2022-jp",
  mac_roman: "macintosh",
  mac_cyrillic: "x-mac-cyrillic",
  cp866: "ibm866",
  cp874: "windows-874",
  tis_620: "windows-874",
  iso8859_11: "windows-874",
  iso8859_9: "windows-1254",
};

/** What else Python decodes: EBCDIC and DOS pages, stateful ones, and encodings that are no charsets. */
export const PYTHON_ONLY =
  /^((cp|ibm|csibm)?(037|273|424|437|500|7\d\d|85\d|86\d|875|1006|1026|1125|1140)|ruscii|utf_?7|u7|unicode_1_1_utf_7|hz(_?gb.*)?|johab|cp1361|ms1361|iso_?2022_?(jp|kr)_?.*|csiso2022kr|(euc|shift)_?jis.*|s_?jis.*|koi8_t|kz_?1048|rk1048|mac_?[a-z0-9]+|hp_roman8|roman8|r8|ptcp154|pt154|cp154|palmos|idna|punycode|(raw_)?unicode_escape|undefined|charmap|(base_?64|bz2|hex|quopri|rot_?13|uu|zlib)(_codec)?|zip|quoted_?printable)$/;

/** Those of them in which a letter is not the byte that it is in ASCII. */
export const NOT_ASCII =
  /^((cp|ibm|csibm)?(037|273|424|500|875|1026|1140)|punycode|undefined|(base_?64|bz2|hex|quopri|rot_?13|uu|zlib)(_codec)?|zip|quoted_?printable)$/;

/** The name under which Python looks a charset up, whatever its spelling. */
export function pythonName(charset: string): string {
  const name = charset
    .toLowerCase()
    .replace(/[^\p{L}\p{N}.]+/gu, "_")
    .replace(/^_|_$|[^\0-\x7f]/g, "");
  return NAMES.get(name) ?? NAMES.get(name.replaceAll(".", "_")) ?? name;
}

/** The name of the table that comes with Node. */
export function labelOf(python: string): string | undefined {
  if (Object.hasOwn(LABELS, python)) return LABELS[python];
  if (/^cp125[0-8]$/.test(python)) return `windows-${python.slice(2)}`;
  const part = /^iso8859_([2-8]|1[03-6])$/.exec(python)?.[1];
  if (part !== undefined) return `iso-8859-${part}`;
  return /^(euc_kr|euc_jp|shift_jis|gbk|gb18030|big5|koi8_[ru])$/.test(python)
    ? python.replace(/^(euc|koi8)_/, "$1-")
    : undefined;
}
