"""`python -m mmm_graph` is `mmm`; the ranks of a run are started so."""

import sys

if __name__ == "__main__":
    try:
        from mmm_graph.runtime.supervised import follow_launcher

        follow_launcher()
        from mmm_graph.cli.main import main
    except KeyboardInterrupt:  # while modules are read nothing else catches it
        sys.exit(130)
    main()
