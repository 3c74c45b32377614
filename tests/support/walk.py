"""The walk over the tissue in a person's hands."""

WALK = "def walk = gui.getStage().getProperties().get('glomseg.missed')\n"


def two_clicks(desk, one, other):
    """Click on two places of the image, given in its pixels."""
    desk.fx(f"""
        def viewer = gui.getViewer()
        viewer.setDownsampleFactor(1.0d)
        viewer.setCenterPixelLocation({(one[0] + other[0]) // 2}, {one[1]})
        def view = viewer.getView()
        {[list(one), list(other)]}.each {{ x, y ->
            def local = viewer.imagePointToComponentPoint(new java.awt.geom.Point2D.Double(x, y), null, false)
            def p = view.localToScene(local.getX(), local.getY())
            [MouseEvent.MOUSE_PRESSED, MouseEvent.MOUSE_RELEASED].each {{ type ->
                javafx.event.Event.fireEvent(view, new MouseEvent(type, p.getX(), p.getY(), p.getX(), p.getY(),
                    MouseButton.PRIMARY, 1, false, false, false, false, true, false, false, true, false, false, null))
            }}
        }}""")
