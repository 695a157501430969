/* Given to every source with -include: the library calls these before and after each layer. */
#ifndef PROFILE_H
#define PROFILE_H

void profile_begin(int layer);
void profile_end(int layer);

#define MOBILENET_LAYER_BEGIN(i) profile_begin(i)
#define MOBILENET_LAYER_END(i) profile_end(i)

#endif
