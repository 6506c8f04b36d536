/* What LAMMPS expects of a plugin file: the layout is that of the plugin developer's page of the
   LAMMPS manual.  It is declared here because an installed LAMMPS does not ship it. */

#ifndef UMAS_LAMMPS_PLUGIN_ABI_H
#define UMAS_LAMMPS_PLUGIN_ABI_H

extern "C" {

typedef struct {
  const char *version;    // of the LAMMPS it was compiled for
  const char *style;      // category: "pair"
  const char *name;       // name of the style in the input
  const char *info;       // LAMMPS prints "Loading plugin: <info> by <author>"
  const char *author;
  union {
    void *(*v1)(void *lmp);    // creates pair styles, among others
    void *(*v2)(void *lmp, int narg, char **arg);
  } creator;
  void *handle;    // of the loaded file, for counting its uses
} lammpsplugin_t;

typedef void (*lammpsplugin_regfunc)(lammpsplugin_t *, void *lmp);

void lammpsplugin_init(void *lmp, void *handle, void *regfunc);
}

#endif
